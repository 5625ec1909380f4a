//! The Lambda function `fallback`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::FALLBACK)
}
