//! The Lambda function `logout-all`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LOGOUT_ALL)
}
