//! The Lambda function `list-messages`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LIST_MESSAGES)
}
