//! Every Lambda function in one program, which is what `sam build` deploys: the function's handler says which one it is.

fn main() -> Result<(), confab_functions::Error> {
    let handler = std::env::var("_HANDLER")?;
    let function = confab_functions::Function::named(&handler);
    confab_functions::run(function.ok_or_else(|| format!("there is no function {handler}"))?)
}
