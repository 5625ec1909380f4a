//! The Lambda function `get-chat`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::GET_CHAT)
}
