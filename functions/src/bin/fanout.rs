//! The Lambda function `fanout`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::FANOUT)
}
