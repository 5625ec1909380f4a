//! The Lambda function `settle`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::SETTLE)
}
