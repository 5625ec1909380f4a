//! The Lambda function `reconcile`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::RECONCILE)
}
