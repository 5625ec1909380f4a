//! The Lambda function `join-session`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::JOIN_SESSION)
}
