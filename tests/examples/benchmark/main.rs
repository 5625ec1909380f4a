//! Measures Confab on this machine, and prints a table; with `--write`, into docs/benchmarks.md.
//!
//!     cargo run --profile bench -p confab-tests --example benchmark -- [--seconds N] [--program FILE] [--write]
//!
//! Starts Confab in a separate process, plain and with `--like-aws`, with its data on disk. Both processes share the
//! machine. Needs Linux, whose `/proc` has the CPU time and the memory.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../../it/documents.rs"]
mod documents;
mod load;
mod report;
mod server;
#[path = "../../it/world/mod.rs"]
mod world;

use std::path::PathBuf;

use clap::Parser;
use futures_util::future::join_all;
use load::{Posts, Times};
use report::Report;
use server::Server;
use world::{User, World};

/// The most clients at once, and the most chats.
const CLIENTS: usize = 64;

/// Measures Confab on this machine.
#[derive(Parser)]
struct Arguments {
    /// The duration of each load
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The program to measure, instead of building `confab`
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Writes the table into docs/benchmarks.md
    #[arg(long)]
    write: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let program = arguments.program.unwrap_or_else(Server::build);
    let mut report = Report::default();
    measure(&program, arguments.seconds, &mut report).await;
    measure_like_aws(&program, arguments.seconds, &mut report).await;
    if arguments.write {
        report.write();
    }
}

async fn measure(program: &PathBuf, seconds: u64, report: &mut Report) {
    let (server, world) = Server::start(program, false).await;
    let idle = server.memory();
    let (users, chats) = populate(&world).await;
    let requests = 20 * seconds as usize;
    report.times("post → 1 socket", &load::deliver(&world, &users[0], 1, requests).await);
    report.times("post → the last of 200 sockets", &load::deliver(&world, &users[0], 200, requests).await);
    for (name, clients, chats) in [
        ("one chat, 1 client", 1, &chats[..1]),
        ("one chat, 64 clients", CLIENTS, &chats[..1]),
        ("64 chats, 64 clients", CLIENTS, &chats[..]),
    ] {
        report.posts(name, &load::post(&server, &users[..clients], chats, seconds).await);
    }
    let uri = load::chat_with_history(&users[0], 1000).await;
    for limit in [100, 1000] {
        let times = load::history(&users[0], &uri, limit, requests).await;
        report.times(&format!("history of {limit}"), &times);
    }
    report.memory(idle, server.memory());
}

async fn measure_like_aws(program: &PathBuf, seconds: u64, report: &mut Report) {
    let (server, world) = Server::start(program, true).await;
    let (users, chats) = populate(&world).await;
    for (name, clients, chats) in [
        ("like AWS: one chat, 1 client", 1, &chats[..1]),
        ("like AWS: one chat, 8 clients", 8, &chats[..1]),
        ("like AWS: one chat, 64 clients", CLIENTS, &chats[..1]),
        ("like AWS: 64 chats, 64 clients", CLIENTS, &chats[..]),
    ] {
        report.posts(name, &load::post(&server, &users[..clients], chats, seconds).await);
    }
}

/// Users, and a chat of each; all of them are members of the first.
async fn populate(world: &World) -> (Vec<User<'_>>, Vec<String>) {
    let users = join_all((0..CLIENTS).map(|_| world.user("user"))).await;
    let chats = join_all(users.iter().map(User::start_chat)).await;
    for user in &users[1..] {
        user.join(&chats[0]).await;
    }
    (users, chats)
}
