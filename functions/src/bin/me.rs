//! The Lambda function `me`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::ME)
}
