//! The Lambda function `ws-unsubscribe`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_UNSUBSCRIBE)
}
