//! The Lambda function `export-chat`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::EXPORT_CHAT)
}
