//! `cargo run -- import dump.json`: from Django to Confab.

use std::{error::Error, fs::File, iter::successors};

use confab_shared::{
    Confab,
    environment::Environment,
    import::{Dump, Report},
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::ImportArguments;

/// Imports a dump and prints the report.
///
/// # Errors
/// What went wrong and why, a line for each cause.
pub(crate) async fn import(arguments: &ImportArguments) -> Result<(), String> {
    let report = load(arguments).await.map_err(|error| {
        let causes = successors(Some(error.as_ref()), |error| Error::source(*error));
        causes.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    })?;
    println!("{report}");
    Ok(())
}

async fn load(ImportArguments { dump }: &ImportArguments) -> Result<Report, Box<dyn Error>> {
    let confab = Confab::new(&Environment::of_process())?;
    let dump = Dump::read(File::open(dump).map_err(|error| format!("{}: {error}", dump.display()))?)?;
    // indicatif draws nothing where standard error is not a terminal.
    let bar = ProgressBar::new(dump.steps());
    bar.set_style(ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} to go")?);
    let report = confab.import(&dump, |steps| bar.inc(steps)).await;
    bar.finish_and_clear();
    Ok(report?)
}
