//! The Lambda function `revoke`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::REVOKE)
}
