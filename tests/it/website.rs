//! The browser client of `cargo run`: served if it is built, built if npm is installed, and otherwise a line with
//! instructions.

#![cfg(unix)]

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{process::free_ports, world::DEADLINE};

/// A fake npm: `ci` and `run build` print their names, and the latter writes a page.
const NPM: &str = r#"#!/bin/sh
echo "npm $*"
[ "$1" != run ] || { /bin/mkdir -p dist && echo "<p>built" > dist/index.html; }
"#;

/// A folder with Confab's template, a client that is not built, and a folder for programs.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    fs::copy(template, folder.path().join("template.yaml")).unwrap();
    for name in ["web", "bin"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("web/package.json"), "{}").unwrap();
    folder
}

/// Starts confab in a folder, with only the programs in its `bin`.
fn start(folder: &Path, port: u16) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab-under-test"));
    command.args(["--port", &port.to_string()]).current_dir(folder).env("PATH", folder.join("bin"));
    command.env("CONFAB_STATE", folder);
    command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Its output up to a line that contains `text`, and the reader for the rest.
async fn printed(child: &mut Child, text: &str) -> (Vec<String>, Lines<BufReader<ChildStdout>>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    let reading = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            printed.push(line);
            if printed.last().unwrap().contains(text) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(DEADLINE, reading).await;
    assert!(matches!(found, Ok(true)), "it does not say {text:?}: {printed:#?}");
    (printed, lines)
}

async fn get(port: u16, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_client_is_built_if_npm_is_installed() {
    let (folder, port) = (folder(), free_ports());
    let npm = folder.path().join("bin/npm");
    fs::write(&npm, NPM).unwrap();
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).unwrap();
    let mut confab = start(folder.path(), port);
    let (lines, _rest) = printed(&mut confab, "The browser client is at").await;
    let place =
        |text: &str| lines.iter().position(|line| line.starts_with(text)).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(place("npm ci") < place("npm run build"), "its progress is shown");
    assert_eq!(get(port, "/").await, (200, "<p>built\n".to_owned()));
    assert_eq!(get(port, "/auth/me/").await.0, 401);
    confab.kill().await.unwrap();
    // The second time there is nothing to build.
    let port = free_ports();
    let mut confab = start(folder.path(), port);
    let (lines, _rest) = printed(&mut confab, "The browser client is at").await;
    assert!(!lines.iter().any(|line| line.contains("npm")), "{lines:?}");
    assert_eq!(get(port, "/").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_npm_the_api_runs_and_build_instructions_are_printed() {
    let (folder, port) = (folder(), free_ports());
    let mut confab = start(folder.path(), port);
    let (lines, _rest) = printed(&mut confab, "Node.js").await;
    assert!(lines.last().unwrap().ends_with("(cd web && npm ci && npm run build)"), "{lines:?}");
    assert_eq!((get(port, "/").await.0, get(port, "/auth/me/").await.0), (404, 401));
}

/// The pages have inline scripts, which the client's headers would forbid.
#[tokio::test(flavor = "multi_thread")]
async fn documentation_is_served_once_it_is_built() {
    let (folder, port) = (folder(), free_ports());
    let mut child = start(folder.path(), port);
    let (_, _rest) = printed(&mut child, "HTTP API").await;
    assert_eq!(get(port, "/docs/").await.0, 404);
    fs::create_dir_all(folder.path().join("docs/book")).unwrap();
    fs::write(folder.path().join("docs/book/index.html"), "<p>a page").unwrap();
    assert_eq!(get(port, "/docs/").await, (200, "<p>a page".to_owned()));
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/docs")).await.unwrap();
    assert_eq!(answer.url().path(), "/docs/", "links on a page are relative");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("'unsafe-inline'") && policy.contains("default-src 'self'"), "{policy}");
    assert_eq!(get(port, "/docs/missing.html").await.0, 404);
}
