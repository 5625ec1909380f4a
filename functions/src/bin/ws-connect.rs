//! The Lambda function `ws-connect`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_CONNECT)
}
