//! Confab in a separate process, with its data in a temporary folder.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::world::World;

/// Of four ports in a row, the first.
const PORT: u16 = 8400;

/// A running Confab.
pub struct Server {
    process: Child,
    // Deleted when this is dropped.
    _folder: TempDir,
}

impl Server {
    /// Builds `confab` as this program was built.
    pub fn build() -> PathBuf {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--locked", "--profile", "bench", "-p", "confab-local", "--bin", "confab"]);
        assert!(build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
        // This program is in `examples/` beside it.
        let examples = std::env::current_exe().unwrap();
        examples.parent().and_then(|folder| folder.parent()).unwrap().join("confab")
    }

    /// Starts it without rate limits, and waits until it answers.
    pub async fn start(program: &PathBuf, like_aws: bool) -> (Self, World) {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(program);
        command.args(["--port", &PORT.to_string(), "--no-web", "--data"]).arg(folder.path().join("confab.db"));
        for parameter in [
            "PostsPerMinute=0",
            "SocketsPerUser=0",
            "AttemptsPerAddress=0",
            "RequestsPerSecond=100000",
            "PasswordRequestsPerSecond=1000",
        ] {
            command.args(["--parameter", parameter]);
        }
        if like_aws {
            command.arg("--like-aws");
        }
        let process = command.current_dir(env!("CARGO_MANIFEST_DIR")).stdout(Stdio::null()).spawn().unwrap();
        let (server, world) = (Self { process, _folder: folder }, World::at(PORT));
        let deadline = Instant::now() + Duration::from_secs(30);
        while world.client.get(&world.http_url).send().await.is_err() {
            assert!(Instant::now() < deadline, "it does not start");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (server, world)
    }

    /// The CPU time, user and system, that it has taken.
    pub fn cpu(&self) -> Duration {
        let stat = self.file("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks =
            fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum::<u64>();
        // Linux reports ticks of 10 ms, whatever the kernel's own.
        Duration::from_millis(10 * ticks)
    }

    /// The proportional set size, in bytes.
    pub fn memory(&self) -> u64 {
        let rollup = self.file("smaps_rollup");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.process.id())).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
