//! What `cargo run` prints at the start.

use std::collections::BTreeMap;

use confab_cloud::Cloud;

use crate::arguments::RunArguments;

/// Outputs of the template about services that the laptop cloud does not have, such as CloudWatch.
const NOT_HERE: [&str; 6] =
    ["AccessLogGroupName", "DashboardUrl", "LogGroupName", "WebsiteBucketName", "WebsiteConfig", "WebsiteUrl"];

/// Prints the addresses and what to do next; with `--verbose`, also the outputs and the environment.
pub(crate) fn print(cloud: &Cloud, arguments: &RunArguments, sends_mail: bool) {
    let url = cloud.http_url();
    println!("Confab is running. Press ctrl-c to stop it.\n");
    println!("  HTTP API   {url}");
    if let Some(url) = cloud.websocket_url() {
        println!("  WebSocket  {url}");
    }
    if sends_mail {
        println!("  Mail       {url}/_mail");
    }
    match &arguments.data {
        Some(path) => println!("  Data       in {}", path.display()),
        None => println!("  Data       in memory (keep it with --data FILE)"),
    }
    if let Some(endpoint) = &arguments.lambda {
        println!("  Functions  at {endpoint}");
    }
    if arguments.verbose {
        print_details(cloud);
    }
    println!("\nNext, in another terminal, register a user, or set up the shell for the AWS CLI and SDKs:");
    println!("  curl -d 'username=ada&password=analytical-engine' {url}/auth/users/create");
    println!("  eval \"$({})\"\n", command_for_environment(arguments));
}

fn print_details(cloud: &Cloud) {
    println!();
    for (name, value) in cloud.outputs() {
        if !NOT_HERE.contains(&name.as_str()) {
            println!("  {name:<17} {value}");
        }
    }
    println!();
    print_exports(&cloud.client_environment(), "  ");
}

/// The command that prints this cloud's environment.
fn command_for_environment(arguments: &RunArguments) -> String {
    // `cargo run` sets this variable.
    let program = match std::env::var_os("CARGO") {
        Some(_) => "cargo run -q --".to_owned(),
        None => std::env::args().next().unwrap_or_else(|| "confab".to_owned()),
    };
    match arguments.port {
        8000 => format!("{program} --env"),
        port => format!("{program} --env --port {port}"),
    }
}

/// Prints an environment as lines for a shell.
pub(crate) fn print_exports(environment: &BTreeMap<String, String>, indent: &str) {
    for (name, value) in environment {
        println!("{indent}export {name}='{value}'");
    }
}
