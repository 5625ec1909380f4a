//! The Lambda function `ws-default`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_DEFAULT)
}
