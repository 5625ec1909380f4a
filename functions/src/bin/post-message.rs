//! The Lambda function `post-message`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::POST_MESSAGE)
}
