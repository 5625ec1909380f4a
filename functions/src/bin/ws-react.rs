//! The Lambda function `ws-react`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::WS_REACT)
}
