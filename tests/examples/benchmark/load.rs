//! Loads Confab over HTTP and WebSockets, and measures it.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt, future::join_all};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    server::Server,
    world::{User, World},
};

const TEXT: &str = "Shall we meet at the station at six, or is that too early for you?";

/// How long requests took, the shortest first.
pub struct Times(Vec<Duration>);

/// The result of posting at full speed.
pub struct Posts {
    pub per_second: f64,
    pub times: Times,
    /// The number of responses of 503.
    pub busy: usize,
    /// The CPU time of the server for each post.
    pub cpu: Duration,
}

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// In milliseconds.
    pub fn percentile(&self, share: usize) -> f64 {
        let place = (self.0.len() * share / 100).min(self.0.len().saturating_sub(1));
        self.0.get(place).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Users who each post as fast as they get responses, over one connection each.
pub async fn post(server: &Server, users: &[User<'_>], chats: &[String], seconds: u64) -> Posts {
    let (started, cpu) = (Instant::now(), server.cpu());
    let end = started + Duration::from_secs(seconds);
    let posts = users.iter().enumerate().map(|(n, user)| post_until(user, &chats[n % chats.len()], end));
    let (times, busy): (Vec<Vec<Duration>>, Vec<usize>) = join_all(posts).await.into_iter().unzip();
    let times = Times::new(times.into_iter().flatten().collect());
    let count = times.0.len().max(1);
    Posts {
        per_second: count as f64 / started.elapsed().as_secs_f64(),
        busy: busy.into_iter().sum(),
        cpu: (server.cpu() - cpu) / count as u32,
        times,
    }
}

async fn post_until(user: &User<'_>, uri: &str, end: Instant) -> (Vec<Duration>, usize) {
    let (mut times, mut busy) = (Vec::new(), 0);
    while Instant::now() < end {
        let started = Instant::now();
        let response = request(user, uri, TEXT).await;
        match response {
            200 => times.push(started.elapsed()),
            503 => busy += 1,
            other => panic!("{other}"),
        }
    }
    (times, busy)
}

/// Posts a form, and returns the status.
async fn request(user: &User<'_>, uri: &str, text: &str) -> u16 {
    let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/")).form(&[("message", text)]);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    // The connection can be used again once the body has been read.
    response.bytes().await.unwrap();
    status
}

/// From a post to its arrival at the last of some sockets, in a calm chat.
pub async fn deliver(world: &World, user: &User<'_>, sockets: usize, posts: usize) -> Times {
    let uri = user.start_chat().await;
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    for _ in 0..sockets {
        listen(world, user, &uri, sender.clone()).await;
    }
    let mut times = Vec::new();
    for n in 0..posts {
        let (text, started) = (format!("message {n}"), Instant::now());
        assert_eq!(request(user, &uri, &text).await, 200);
        let mut last = started;
        for _ in 0..sockets {
            last = last.max(arrivals.recv().await.unwrap());
        }
        times.push(last - started);
    }
    Times::new(times)
}

/// Opens a socket that is subscribed to a chat, and sends the time of each message that arrives.
async fn listen(world: &World, user: &User<'_>, uri: &str, arrivals: mpsc::UnboundedSender<Instant>) {
    let mut request = world.websocket_url.as_str().into_client_request().unwrap();
    request.headers_mut().append("authorization", format!("Token {}", user.token).parse().unwrap());
    let (mut stream, _) = connect_async(request).await.unwrap();
    stream.send(Message::text(json!({ "action": "subscribe", "uri": uri }).to_string())).await.unwrap();
    loop {
        let Message::Text(text) = stream.next().await.unwrap().unwrap() else { continue };
        if text.contains("\"subscribed\"") {
            break;
        }
    }
    tokio::spawn(async move {
        while let Some(Ok(frame)) = stream.next().await {
            let now = Instant::now();
            let Message::Text(text) = frame else { continue };
            for _ in text.split('\n').filter(|line| line.contains("\"message\":\"message ")) {
                let _ = arrivals.send(now);
            }
        }
    });
}

/// A chat with this number of messages.
pub async fn chat_with_history(user: &User<'_>, messages: usize) -> String {
    let uri = user.start_chat().await;
    for _ in 0..messages {
        assert_eq!(request(user, &uri, TEXT).await, 200);
    }
    uri
}

/// How long a page of a chat's history takes.
pub async fn history(user: &User<'_>, uri: &str, limit: usize, requests: usize) -> Times {
    let mut times = Vec::new();
    for _ in 0..requests {
        let started = Instant::now();
        let request = user.request(Method::GET, &format!("/api/chats/{uri}/messages/?limit={limit}"));
        let body = request.send().await.unwrap().bytes().await.unwrap();
        times.push(started.elapsed());
        let page: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(page["messages"].as_array().unwrap().len(), limit);
    }
    Times::new(times)
}
