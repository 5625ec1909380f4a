//! The Lambda function `logout`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LOGOUT)
}
