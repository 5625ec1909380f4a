//! The Lambda function `list-members`.

fn main() -> Result<(), confab_functions::Error> {
    confab_functions::run(confab_functions::LIST_MEMBERS)
}
