//! The Lambda function `ws-read`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_READ)
}
