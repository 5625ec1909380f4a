//! The program of `cargo run` as a process, for tests that kill it or read its log.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use crate::world::{eventually, options};

/// A confab process, with its data in a file.
pub struct Process {
    child: Child,
    printed: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it with a log level.
    pub async fn start(port: u16, data: &Path, log: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_confab-under-test");
        let mut command = Command::new(program);
        command.args(["--port", &port.to_string(), "--data", data.to_str().unwrap()]);
        command.args(["--no-web", "--verbose"]);
        for (name, value) in options().parameters {
            command.args(["--parameter", &format!("{name}={value}")]);
        }
        command.stdout(Stdio::piped()).stderr(Stdio::inherit()).env("RUST_LOG", log).kill_on_drop(true);
        command.env("CONFAB_STATE", data.parent().unwrap());
        let mut child = command.spawn().unwrap();
        let (mut stdout, printed) = (child.stdout.take().unwrap(), Arc::new(Mutex::new(String::new())));
        let prints = printed.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(size @ 1..) = stdout.read(&mut buffer).await {
                prints.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..size]));
            }
        });
        let address = format!("127.0.0.1:{port}");
        eventually("it listens", async || tokio::net::TcpStream::connect(&address).await.is_ok()).await;
        Self { child, printed }
    }

    /// Its output so far, including its log.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// SIGKILL: it cannot clean up.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Five consecutive ports that are free at this moment.
pub fn free_ports() -> u16 {
    loop {
        let port = 20_000 + fastrand::u16(..4_000) * 5;
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (port..port + 5).all(free) {
            return port;
        }
    }
}
