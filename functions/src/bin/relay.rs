//! The Lambda function `relay`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::RELAY)
}
