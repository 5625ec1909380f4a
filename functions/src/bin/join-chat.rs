//! The Lambda function `join-chat`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::JOIN_CHAT)
}
