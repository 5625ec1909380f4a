//! The Lambda function `deliver`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::DELIVER)
}
