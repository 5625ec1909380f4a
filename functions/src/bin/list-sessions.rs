//! The Lambda function `list-sessions`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LIST_SESSIONS)
}
