//! The Lambda function `get-session`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::GET_SESSION)
}
