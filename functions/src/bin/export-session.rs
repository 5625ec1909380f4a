//! The Lambda function `export-session`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::EXPORT_SESSION)
}
