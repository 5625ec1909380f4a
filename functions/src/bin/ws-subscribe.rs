//! The Lambda function `ws-subscribe`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_SUBSCRIBE)
}
