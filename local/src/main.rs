//! `cargo run`: Confab on this machine.

#![deny(clippy::unwrap_used)]

mod client;

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::Parser;
use client::{Client, State};
use confab_local::{Cloud, Functions, Keys, Options, Ports, StartError, Template, TimeLimits};
use tracing_subscriber::EnvFilter;

/// The template's parameter that says whether there is a website.
const WEBSITE: &str = "Website";

/// Confab on this machine: the whole cloud that template.yaml describes, in one process.
#[derive(Parser)]
#[command(name = "confab", version)]
struct Arguments {
    /// The port of the HTTP and WebSocket API; DynamoDB, SNS and SQS listen on the next three
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..=65532))]
    port: u16,
    /// Keeps the data in this file across restarts; without it, all is gone when this stops
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Invokes functions through this Lambda endpoint, such as `cargo lambda watch`, instead of in this process
    #[arg(long, value_name = "URL")]
    lambda: Option<String>,
    /// The template to run
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// A value for a parameter of the template
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    parameter: Vec<(String, String)>,
    /// Serves the files of this folder as the website, instead of the browser client in web/
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_web")]
    web: Option<PathBuf>,
    /// Serves no website, and builds none
    #[arg(long)]
    no_web: bool,
    /// A name, or NAME:PORT, by which browsers and proxies may reach this, such as a tunnel's; may be given more than once
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Prints, as lines for a shell, the environment that functions outside this process need, and exits
    #[arg(long)]
    env: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must look like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,confab_local=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .init();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), StartError> {
    // Started from elsewhere, it still finds the template that it was built with.
    let template = arguments.template.unwrap_or_else(|| match Path::new("template.yaml") {
        here if here.exists() => here.to_owned(),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml"),
    });
    let sources = template.parent().unwrap_or(Path::new("")).join("web");
    let client = if arguments.no_web || arguments.web.is_some() { None } else { Client::new(sources) };
    let website = arguments.web.clone().or_else(|| client.as_ref().map(Client::files));
    let template = Template::read(&template)?;
    let mut parameters: BTreeMap<String, String> = arguments.parameter.into_iter().collect();
    if website.is_some() && template.body()["Parameters"].get(WEBSITE).is_some() {
        parameters.entry(WEBSITE.to_owned()).or_insert("yes".to_owned());
    }
    let options = Options {
        template,
        parameters,
        stack_name: "confab".to_owned(),
        ports: Ports::from(arguments.port),
        data: arguments.data.clone(),
        functions: match &arguments.lambda {
            Some(endpoint) => Functions::Endpoint(endpoint.clone()),
            None => Functions::InProcess(Arc::new(confab_functions::handler)),
        },
        website,
        environment: BTreeMap::new(),
        keys: keys(arguments.env || arguments.lambda.is_some())?,
        hosts: arguments.host,
        limits: TimeLimits::default(),
    };
    if arguments.env {
        print_exports(&confab_local::function_environment(&options)?, "");
        return Ok(());
    }
    let cloud = Cloud::start(options).await?;
    welcome(&cloud, arguments.data.as_deref(), arguments.lambda.as_deref());
    let url = cloud.http_url();
    tokio::select! {
        () = told_to_stop() => {}
        () = present(client, &url) => {}
    }
    println!("\nStopping.");
    cloud.stop().await;
    Ok(())
}

/// The access keys of this machine's user, which all of their processes have in common. Where they cannot be kept, as in a container that
/// is read-only, this process has keys that no other knows, unless another one needs them.
fn keys(are_shared: bool) -> Result<Keys, StartError> {
    let folder = state_folder();
    match Keys::kept_in(&folder) {
        Err(error) if !are_shared => {
            tracing::warn!(%error, "access keys cannot be kept in {}; use those that are printed here", folder.display());
            Keys::random().map_err(|error| StartError::Keys(folder, error))
        }
        kept => kept.map_err(|error| StartError::Keys(folder, error)),
    }
}

/// Where state belongs that is not data (<https://specifications.freedesktop.org/basedir-spec/latest/>).
fn state_folder() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("CONFAB_STATE") {
        return folder;
    }
    let home = || std::env::home_dir().unwrap_or_default().join(".local/state");
    let common = variable("XDG_STATE_HOME").or_else(|| variable("LOCALAPPDATA").filter(|_| cfg!(windows)));
    common.unwrap_or_else(home).join("confab")
}

/// Says how to get at the browser client, and builds it first if need be. Never ends: the APIs are there regardless.
async fn present(client: Option<Client>, url: &str) {
    if let Some(client) = client {
        match client.state().await {
            State::Built => println!("The browser client is at {url}/"),
            State::CanBeBuilt => {
                println!(
                    "npm builds the browser client, which takes a minute the first time. The APIs are there already.\n"
                );
                match client.build().await {
                    Ok(()) => println!("\nThe browser client is at {url}/"),
                    Err(problem) => eprintln!("\n{problem}"),
                }
            }
            State::NeedsNode => {
                println!("For the browser client, install Node.js 20 or later and run: {}", client.instruction())
            }
        }
    }
    std::future::pending().await
}

/// Waits for ctrl-c or SIGTERM.
async fn told_to_stop() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = terminated => {}
        pressed = tokio::signal::ctrl_c() => {
            if let Err(error) = pressed {
                tracing::error!(%error, "ctrl-c cannot be listened for");
            }
        }
    }
}

fn welcome(cloud: &Cloud, data: Option<&Path>, lambda: Option<&str>) {
    println!("Confab is running. Press ctrl-c to stop it.\n");
    println!("  HTTP API   {}", cloud.http_url());
    if let Some(url) = cloud.websocket_url() {
        println!("  WebSocket  {url}");
    }
    match data {
        Some(path) => println!("  Data       in {}", path.display()),
        None => println!("  Data       in memory (keep it with --data FILE)"),
    }
    if let Some(endpoint) = lambda {
        println!("  Functions  at {endpoint}");
    }
    for (name, value) in cloud.outputs() {
        println!("  {name:<10} {value}");
    }
    println!("\nTo work with its DynamoDB, SNS and SQS from another shell, with the AWS CLI or any SDK:\n");
    print_exports(&cloud.client_environment(), "  ");
    println!();
}

fn print_exports(environment: &BTreeMap<String, String>, indent: &str) {
    for (name, value) in environment {
        println!("{indent}export {name}='{value}'");
    }
}
