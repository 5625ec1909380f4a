//! The browser client's files: built by npm when that has not been done.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// The browser client whose sources are in a folder.
pub(crate) struct BrowserClient {
    sources: PathBuf,
}

/// Whether the client can be served.
pub(crate) enum State {
    /// Its files are there.
    Built,
    /// npm can build them.
    CanBeBuilt,
    /// Neither the files nor npm are there.
    NeedsNode,
}

impl BrowserClient {
    /// The client whose sources, or whose files in `dist`, are in this folder, if there are any.
    pub(crate) fn new(sources: PathBuf) -> Option<Self> {
        let is_here = ["package.json", "dist/index.html"].iter().any(|file| sources.join(file).exists());
        is_here.then_some(Self { sources })
    }

    /// The folder of its files.
    pub(crate) fn files(&self) -> PathBuf {
        self.sources.join("dist")
    }

    /// Whether it is built or can be built.
    pub(crate) async fn state(&self) -> State {
        if self.files().join("index.html").exists() {
            return State::Built;
        }
        let version = npm(&self.sources, &["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if version.is_ok_and(|status| status.success()) { State::CanBeBuilt } else { State::NeedsNode }
    }

    /// Builds it. npm prints its progress.
    ///
    /// # Errors
    /// One sentence that says what to do.
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

    /// The shell command that builds it.
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
