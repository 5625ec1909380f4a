//! What the program of `cargo run` prints at the start, and where it listens.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{process::free_ports, world::DEADLINE};

/// Starts confab, and returns what it prints up to the last of the next commands.
async fn start(port: u16, arguments: &[&str]) -> (Child, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab-under-test"));
    command.args(["--no-web", "--port", &port.to_string()]).args(arguments).env("CONFAB_STATE", folder.path());
    let mut confab = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(confab.stdout.take().unwrap()).lines();
    let mut printed = Vec::new();
    while !printed.last().is_some_and(|line: &String| line.contains("eval ")) {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        printed.push(line.unwrap().unwrap().unwrap_or_else(|| panic!("it ends: {printed:#?}")));
    }
    (confab, printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_shows_addresses_and_the_next_commands_in_ten_lines() {
    let port = free_ports();
    let (_confab, lines) = start(port, &[]).await;
    let text = lines.join("\n");
    for part in [
        format!("  http://127.0.0.1:{port}\n"),
        format!("  ws://127.0.0.1:{port}/ws\n"),
        format!("  http://127.0.0.1:{port}/_mail\n"),
        format!(" http://127.0.0.1:{port}/auth/users/create\n"),
        format!(" --env --port {port})"),
    ] {
        assert!(text.contains(&part), "{part} is missing:\n{text}");
    }
    assert!(lines.len() <= 10, "{text}");
    assert!(!text.contains("export "), "{text}");
    let (_confab, lines) = start(free_ports(), &["--parameter", "MailSender="]).await;
    assert!(!lines.join("\n").contains("/_mail"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn verbose_adds_outputs_and_the_environment_but_nothing_about_cloudwatch_and_buckets() {
    let (_confab, lines) = start(free_ports(), &["--verbose"]).await;
    let text = lines.join("\n");
    for part in ["  TopicArn ", "  TableName ", "  export AWS_SECRET_ACCESS_KEY="] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    for part in ["console.aws", "LogGroup", "Website"] {
        assert!(!text.contains(part), "{part} means nothing here:\n{text}");
    }
}

/// On Linux, every address 127.x.y.z is of this machine.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_one_address_unless_told_otherwise() {
    for (arguments, is_reachable) in [([].as_slice(), false), (&["--listen", "0.0.0.0"], true)] {
        let port = free_ports();
        let (_confab, _) = start(port, arguments).await;
        for port in port..port + 5 {
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
            assert_eq!(TcpStream::connect(("127.0.0.2", port)).await.is_ok(), is_reachable, "{arguments:?}");
        }
    }
}
