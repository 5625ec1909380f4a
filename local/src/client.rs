//! The browser client's files: built by npm when that has not been done.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// Where the files of the client are, once it is built.
pub(crate) struct Client {
    sources: PathBuf,
}

/// How it stands with the client.
pub(crate) enum State {
    /// Its files are there.
    Built,
    /// npm can make them.
    CanBeBuilt,
    /// They are not there, and npm is not, either.
    NeedsNode,
}

impl Client {
    /// The client whose sources are in this folder, if that is there.
    pub(crate) fn new(sources: PathBuf) -> Option<Self> {
        sources.join("package.json").exists().then_some(Self { sources })
    }

    /// The folder of its files.
    pub(crate) fn files(&self) -> PathBuf {
        self.sources.join("dist")
    }

    /// Whether it is built, or can be.
    pub(crate) async fn state(&self) -> State {
        if self.files().join("index.html").exists() {
            return State::Built;
        }
        let version = npm(&self.sources, &["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if version.is_ok_and(|status| status.success()) { State::CanBeBuilt } else { State::NeedsNode }
    }

    /// Builds it, while npm says how far it is.
    ///
    /// # Errors
    /// What to do about it, in one sentence.
    pub(crate) async fn build(&self) -> Result<(), String> {
        for step in [["ci", "--no-audit", "--no-fund"].as_slice(), &["run", "build"]] {
            let status =
                npm(&self.sources, step).status().await.map_err(|error| format!("npm cannot be run: {error}."))?;
            if !status.success() {
                return Err(format!("The browser client was not built; see what `{}` says above.", self.instruction()));
            }
        }
        Ok(())
    }

    /// What builds it by hand.
    pub(crate) fn instruction(&self) -> String {
        format!("(cd {} && npm ci && npm run build)", self.sources.display())
    }
}

fn npm(folder: &Path, arguments: &[&str]) -> Command {
    // On Windows it is a script, which has to be named in full.
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.args(arguments).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    npm
}
