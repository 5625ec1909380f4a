//! The table of results.

use std::{fs, path::Path, process::Command};

use super::{Posts, Times};

const DOCUMENT: &str = "../docs/benchmarks.md";
const BEGIN: &str = "<!-- benchmark -->\n";
const END: &str = "<!-- /benchmark -->\n";

/// The lines of the table, which are printed as they come.
#[derive(Default)]
pub struct Report(Vec<String>);

impl Report {
    /// Adds what posting at full speed has shown.
    pub fn posts(&mut self, name: &str, posts: &Posts) {
        let Posts { per_second, times, busy, cpu } = posts;
        let cpu = cpu.as_secs_f64() * 1000.0;
        let refused = if *busy > 0 { format!("; {busy} × 503") } else { String::new() };
        self.add(&format!("posts/s, {name}"), &format!("{per_second:.0}; {}{refused}", quantiles(times)));
        self.add(&format!("CPU per post, {name}"), &format!("{cpu:.2} ms"));
    }

    /// Adds durations.
    pub fn times(&mut self, name: &str, times: &Times) {
        self.add(name, &quantiles(times));
    }

    /// Adds the memory before and after the load, in bytes.
    pub fn memory(&mut self, idle: u64, loaded: u64) {
        let megabytes = |bytes: u64| bytes / 1_000_000;
        self.add("memory (PSS), idle / after load", &format!("{} / {} MB", megabytes(idle), megabytes(loaded)));
    }

    fn add(&mut self, name: &str, value: &str) {
        println!("{name:46} {value}");
        self.0.push(format!("| {name} | {value} |"));
    }

    /// Replaces the table in docs/benchmarks.md.
    pub fn write(&self) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENT);
        let text = fs::read_to_string(&path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let table =
            format!("Measured on {}, {}.\n\n| | p50 / p99 |\n|---|---|\n{}\n", date(), machine(), self.0.join("\n"));
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    }
}

fn quantiles(times: &Times) -> String {
    format!("{:.1} / {:.1} ms", times.percentile(50), times.percentile(99))
}

fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let models: Vec<&str> = processors.lines().filter_map(|line| line.strip_prefix("model name")).collect();
    let model = models[0].trim_start_matches(['\t', ' ', ':']);
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let kilobytes: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
    format!("{model}, {} cores, {} GB", models.len(), kilobytes / 1_000_000)
}

fn date() -> String {
    let date = Command::new("date").arg("+%Y-%m-%d").output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}
