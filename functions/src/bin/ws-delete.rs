//! The Lambda function `ws-delete`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_DELETE)
}
