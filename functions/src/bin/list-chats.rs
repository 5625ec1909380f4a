//! The Lambda function `list-chats`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LIST_CHATS)
}
