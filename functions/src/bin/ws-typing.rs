//! The Lambda function `ws-typing`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_TYPING)
}
