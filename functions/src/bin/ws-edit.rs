//! The Lambda function `ws-edit`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_EDIT)
}
