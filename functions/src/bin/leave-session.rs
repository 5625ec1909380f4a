//! The Lambda function `leave-session`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LEAVE_SESSION)
}
