//! The Lambda function `delete-message`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::DELETE_MESSAGE)
}
