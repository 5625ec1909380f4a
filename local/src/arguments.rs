//! The command line.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};

/// Confab on this machine: the whole cloud that template.yaml describes, in one process.
#[derive(Parser)]
#[command(name = "confab", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// What to do instead of running the cloud.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Loads an export of the original Django application into the table that TABLE_NAME names
    Import(ImportArguments),
}

#[derive(Args)]
pub(crate) struct ImportArguments {
    /// What `manage.py dumpdata auth.user chat` has written
    pub(crate) dump: PathBuf,
}

#[derive(Args)]
pub(crate) struct RunArguments {
    /// The port of the HTTP and WebSocket API; DynamoDB, SNS, SQS and SES listen on the next four
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..=65531))]
    pub(crate) port: u16,
    /// The address to listen on; another one than this is for containers only (docs/without-compiling.md)
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) listen: IpAddr,
    /// Keeps the data in this file across restarts; without it, all is gone when this stops
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Invokes functions through this Lambda endpoint, such as `cargo lambda watch`, instead of in this process
    #[arg(long, value_name = "URL")]
    pub(crate) lambda: Option<String>,
    /// The template to run
    #[arg(long, value_name = "FILE")]
    pub(crate) template: Option<PathBuf>,
    /// A value for a parameter of the template
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) parameter: Vec<(String, String)>,
    /// Serves the files of this folder as the website, instead of the browser client in web/
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_web")]
    pub(crate) web: Option<PathBuf>,
    /// Serves no website, and builds none
    #[arg(long)]
    pub(crate) no_web: bool,
    /// A name, or NAME:PORT, by which browsers and proxies may reach this, such as a tunnel's; may be given more than
    /// once
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Applies AWS's limits, latencies and permissions (docs/like-aws.md)
    #[arg(long)]
    pub(crate) like_aws: bool,
    /// A value for a setting of docs/like-aws.md, with or without --like-aws; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub(crate) aws_setting: Vec<(String, String)>,
    /// Prints at the start also the template's outputs, and the environment for the AWS CLI and SDKs
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Prints, as lines for a shell, the environment that functions outside this process need, and exits
    #[arg(long)]
    pub(crate) env: bool,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it must look like NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
