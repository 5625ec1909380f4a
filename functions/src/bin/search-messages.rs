//! The Lambda function `search-messages`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::SEARCH_MESSAGES)
}
