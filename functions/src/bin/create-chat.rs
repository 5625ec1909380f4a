//! The Lambda function `create-chat`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::CREATE_CHAT)
}
