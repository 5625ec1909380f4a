//! Every Lambda function in one program, which SAM deploys as `bootstrap`. `_HANDLER` says which function it is.

fn main() -> Result<(), confab_functions::Error> {
    let name = std::env::var("_HANDLER")?;
    let function = confab_functions::Function::named(&name).ok_or_else(|| format!("There is no function {name}."))?;
    confab_functions::run(function)
}
