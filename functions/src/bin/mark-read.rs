//! The Lambda function `mark-read`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::MARK_READ)
}
