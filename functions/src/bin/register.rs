//! The Lambda function `register`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::REGISTER)
}
