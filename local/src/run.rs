//! Runs the laptop cloud with Confab's template and functions.

use std::{
    collections::BTreeMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::Arc,
};

use confab_cloud::{Cloud, Functions, LikeAws, Options, Ports, StartError, Template, TimeLimits};
use tracing_subscriber::EnvFilter;

use crate::{
    access_keys::keys,
    arguments::RunArguments,
    browser_client::{BrowserClient, State},
    welcome,
};

/// The template's parameter that says whether there is a website.
const WEBSITE: &str = "Website";
/// The template's parameter with the sender of mails, and its value here: without a sender, no password could be reset.
const MAIL_SENDER: &str = "MailSender";
const SENDER: &str = "confab@laptop.example";
/// The template's parameter with the URL that links in mails lead to.
const MAIL_LINK_BASE: &str = "MailLinkBase";

/// Runs until ctrl-c or SIGTERM; with `--env`, prints the environment and returns at once.
pub(crate) async fn run(arguments: RunArguments) -> Result<(), StartError> {
    log_to_stdout();
    let template = arguments.template.clone().unwrap_or_else(template_path);
    let folder = template.parent().unwrap_or(Path::new("")).to_owned();
    let sources = folder.join("web");
    let serves_client = !arguments.no_web && arguments.web.is_none();
    let client = if serves_client { BrowserClient::new(sources) } else { None };
    let website = arguments.web.clone().or_else(|| client.as_ref().map(BrowserClient::files));
    let mut options = options(&arguments, Template::read(&template)?, website)?;
    options.documentation = Some(folder.join("docs/book"));
    let sends_mail = options.parameters.get(MAIL_SENDER).is_some_and(|sender| !sender.is_empty());
    if arguments.env {
        welcome::print_exports(&confab_cloud::function_environment(&options)?, "");
        return Ok(());
    }
    let cloud = Cloud::start(options).await?;
    welcome::print(&cloud, &arguments, sends_mail);
    let url = cloud.http_url();
    tokio::select! {
        () = stop_signal() => {}
        () = present(client, &url) => {}
    }
    println!("\nStopping.");
    cloud.stop().await;
    Ok(())
}

fn log_to_stdout() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,confab_cloud=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stdout().is_terminal())
        .init();
}

/// The template in the current folder, or beside this program (as in a release), or else the one that it was built with.
fn template_path() -> PathBuf {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("template.yaml"));
    let places = [Some(PathBuf::from("template.yaml")), beside];
    let found = places.into_iter().flatten().find(|path| path.exists());
    found.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml"))
}

fn options(arguments: &RunArguments, template: Template, website: Option<PathBuf>) -> Result<Options, StartError> {
    let mut parameters: BTreeMap<String, String> = arguments.parameter.iter().cloned().collect();
    let client = format!("http://127.0.0.1:{}/", arguments.port);
    let here = [
        (WEBSITE, website.as_ref().map(|_| "yes")),
        (MAIL_SENDER, Some(SENDER)),
        (MAIL_LINK_BASE, Some(client.as_str())),
    ];
    for (name, value) in here.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        if template.body()["Parameters"].get(name).is_some() {
            parameters.entry(name.to_owned()).or_insert(value.to_owned());
        }
    }
    Ok(Options {
        template,
        parameters,
        stack_name: "confab".to_owned(),
        listen: arguments.listen,
        ports: Ports::from(arguments.port),
        data: arguments.data.clone(),
        functions: match &arguments.lambda {
            Some(endpoint) => Functions::Endpoint(endpoint.clone()),
            None => Functions::InProcess(Arc::new(confab_functions::handler_with_http_client)),
        },
        website,
        documentation: None,
        environment: BTreeMap::new(),
        keys: keys(arguments.env || arguments.lambda.is_some())?,
        hosts: arguments.host.clone(),
        limits: TimeLimits::default(),
        like_aws: like_aws(arguments)?,
        metering: false,
    })
}

fn like_aws(arguments: &RunArguments) -> Result<LikeAws, StartError> {
    let base = if arguments.like_aws { LikeAws::preset() } else { LikeAws::default() };
    let settings = arguments.aws_setting.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    base.with(settings).map_err(StartError::Setting)
}

/// Prints where the browser client is, after building it if necessary. Never returns: the cloud runs on without it.
async fn present(client: Option<BrowserClient>, url: &str) {
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
async fn stop_signal() {
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
