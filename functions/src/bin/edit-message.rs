//! The Lambda function `edit-message`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::EDIT_MESSAGE)
}
