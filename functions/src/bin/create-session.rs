//! The Lambda function `create-session`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::CREATE_SESSION)
}
