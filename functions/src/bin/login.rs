//! The Lambda function `login`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LOGIN)
}
