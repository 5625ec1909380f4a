//! Measures the throughput of one chat: N users post as fast as they get responses, and one socket listens.
//!
//!     cargo run --profile bench -p confab-tests --example hot_chat -- <users> <seconds>
//!
//! Runs against a separate laptop cloud, or the deployment that `CONFAB_URL` and related variables name. At the end it
//! compares the history with the acknowledged messages.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

#[path = "../it/documents.rs"]
mod documents;
#[path = "../it/world/mod.rs"]
mod world;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use world::{User, World};

/// The results of a user's posts.
#[derive(Default)]
struct Outcome {
    acknowledged: Vec<u64>,
    busy: usize,
    times: Vec<Duration>,
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap());
    let (users, seconds) = (arguments.next().unwrap_or(16), arguments.next().unwrap_or(10));
    let world = World::any().await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    let users = join_all((0..users).map(|_| world.user("user"))).await;
    for user in &users {
        user.join(&uri).await;
    }
    let mut socket = owner.subscribed(&uri).await;
    let end = Instant::now() + Duration::from_secs(seconds as u64);
    let outcomes = join_all(users.iter().map(|user| talk(user, &uri, end))).await;
    let posted: usize = outcomes.iter().map(|outcome| outcome.acknowledged.len()).sum();
    let busy: usize = outcomes.iter().map(|outcome| outcome.busy).sum();
    let mut times: Vec<Duration> = outcomes.iter().flat_map(|outcome| outcome.times.clone()).collect();
    times.sort_unstable();
    let percentile = |share: usize| times.get(times.len() * share / 100).or(times.last()).copied().unwrap_or_default();
    println!(
        "{} users: {:.0} messages a second, {busy} responses of 503; p50 {:?}, p99 {:?}",
        users.len(),
        posted as f64 / seconds as f64,
        percentile(50),
        percentile(99)
    );
    let mut acknowledged: Vec<u64> = outcomes.into_iter().flat_map(|outcome| outcome.acknowledged).collect();
    acknowledged.sort_unstable();
    let history: Vec<u64> = owner.history(&uri).await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!(history, acknowledged, "the history differs from the acknowledged messages");
    let last = *acknowledged.last().unwrap();
    while socket.next().await["id"] != last {}
    println!("The socket received the last message {:?} after the end.", end.elapsed());
}

async fn talk(user: &User<'_>, uri: &str, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        let started = Instant::now();
        let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
        let response = request.json(&json!({"message": "hello"})).send().await.unwrap();
        match response.status().as_u16() {
            200 => {
                let body: serde_json::Value = response.json().await.unwrap();
                outcome.acknowledged.push(body["id"].as_u64().unwrap());
                outcome.times.push(started.elapsed());
            }
            503 => {
                outcome.busy += 1;
                let seconds = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            other => panic!("{other}"),
        }
    }
    outcome
}
