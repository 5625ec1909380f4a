//! The Lambda function `ws-send`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_SEND)
}
