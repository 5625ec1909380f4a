//! The Lambda function `ws-disconnect`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_DISCONNECT)
}
