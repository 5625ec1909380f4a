//! `cargo run -p confab-import -- dump.json`: from Django to Confab.

#![deny(clippy::unwrap_used)]

use std::{error::Error, fs::File, iter::successors, path::PathBuf, process::ExitCode};

use clap::Parser;
use confab_shared::{
    Confab,
    environment::Environment,
    import::{Dump, Report},
};
use indicatif::{ProgressBar, ProgressStyle};

/// Loads an export of the original Django application into the table that TABLE_NAME names.
#[derive(Parser)]
#[command(name = "import", version)]
struct Arguments {
    /// What `manage.py dumpdata auth.user chat` has written
    dump: PathBuf,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            for error in successors(Some(error.as_ref()), |error| Error::source(*error)) {
                eprintln!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { dump }: Arguments) -> Result<Report, Box<dyn Error>> {
    let confab = Confab::new(&Environment::of_process())?;
    let dump = Dump::read(File::open(&dump).map_err(|error| format!("{}: {error}", dump.display()))?)?;
    // Where nobody looks at a terminal, it is not drawn.
    let bar = ProgressBar::new(dump.steps());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} to go")?);
    let report = confab.import(&dump, |steps| bar.inc(steps)).await;
    bar.finish_and_clear();
    Ok(report?)
}
