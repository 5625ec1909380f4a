//! The Lambda function `react`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::REACT)
}
