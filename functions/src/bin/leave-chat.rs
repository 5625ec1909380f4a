//! The Lambda function `leave-chat`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LEAVE_CHAT)
}
