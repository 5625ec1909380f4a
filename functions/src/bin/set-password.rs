//! The Lambda function `set-password`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::SET_PASSWORD)
}
