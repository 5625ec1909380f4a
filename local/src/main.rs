//! `cargo run`: Confab on this machine, and the import from the original application.

#![deny(clippy::unwrap_used)]

mod access_keys;
mod arguments;
mod browser_client;
mod import;
mod run;
mod welcome;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { command, run } = Arguments::parse();
    let ended = match command {
        Some(Command::Import(arguments)) => import::import(&arguments).await,
        None => run::run(run).await.map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
