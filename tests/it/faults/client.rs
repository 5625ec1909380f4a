//! A client that retries until it has everything.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::world::{DEADLINE, Socket, User};

/// A client that follows the documented protocol and never gives up.
pub struct Client<'a> {
    user: &'a User<'a>,
    pub socket: Option<Socket>,
    /// Sockets that it has abandoned, which stay open without a reader.
    half_open: Vec<Socket>,
    pub chats: BTreeMap<String, View>,
    rng: Rng,
    /// The number of times its socket was closed by the server.
    cut_off: u32,
}

/// A client's state of a chat.
#[derive(Debug, Default)]
pub struct View {
    last_id: u64,
    pub messages: Vec<(u64, String)>,
    /// The time of its last subscribe action, until the response.
    asked: Option<Instant>,
    /// The highest id received, with or without gaps before it.
    received_id: u64,
}

impl View {
    /// Applies an entry, and returns whether there is no gap before it.
    fn fold(&mut self, entry: &Value) -> bool {
        let id = entry["id"].as_u64().unwrap();
        self.received_id = self.received_id.max(id);
        if id == self.last_id + 1 {
            self.last_id = id;
            if entry["type"] == "message" {
                self.messages.push((id, entry["message"].as_str().unwrap().to_owned()));
            }
        }
        id <= self.last_id
    }
}

impl<'a> Client<'a> {
    pub fn new(user: &'a User<'a>, uris: &[String], seed: u64) -> Self {
        let chats = uris.iter().map(|uri| (uri.clone(), View::default())).collect();
        Self { user, socket: None, half_open: Vec::new(), chats, rng: Rng::with_seed(seed), cut_off: 0 }
    }

    /// Runs until it has reached the goal, once that is known.
    pub async fn run(&mut self, goal: watch::Receiver<Option<HashMap<String, u64>>>) {
        loop {
            let reached = match &*goal.borrow() {
                Some(goal) => self.chats.iter().all(|(uri, view)| view.last_id >= goal[uri]),
                None => {
                    match self.rng.u32(..60) {
                        0 => self.socket = None,
                        1 => self.half_open.extend(self.socket.take()),
                        _ => {}
                    }
                    false
                }
            };
            if reached {
                return;
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let token = format!("Token {}", self.user.token);
        let Some(socket) = &mut self.socket else {
            self.socket = self.user.world.try_open(&[("authorization", &token)]).await;
            for view in self.chats.values_mut() {
                view.asked = None;
            }
            match &mut self.socket {
                Some(_) => self.subscribe_where(|view| view.asked.is_none()).await,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            return;
        };
        match tokio::time::timeout(Duration::from_millis(200), socket.receive()).await {
            Err(_) => {
                // It repeats an action without a response.
                let late = |view: &View| view.asked.is_some_and(|asked| asked.elapsed() > Duration::from_secs(8));
                self.subscribe_where(late).await;
            }
            Ok(Err(_)) => {
                self.cut_off += 1;
                self.socket = None;
            }
            Ok(Ok(object)) => self.take(&object).await,
        }
    }

    async fn take(&mut self, object: &Value) {
        let view = object["uri"].as_str().and_then(|uri| self.chats.get_mut(uri));
        match (object["type"].as_str(), view) {
            (Some("subscribed"), Some(view)) => {
                assert_eq!(object["recovered"], true, "{object}");
                view.asked = None;
                for entry in object["entries"].as_array().unwrap() {
                    assert!(view.fold(entry), "a hole in {object}");
                }
                // Live entries from before this response may be newer than it.
                self.subscribe_where(|view| view.asked.is_none() && view.received_id > view.last_id).await;
            }
            (Some("message" | "joined" | "left" | "void"), Some(view)) => {
                if !view.fold(object) && view.asked.is_none() {
                    let last_id = view.last_id;
                    self.subscribe_where(|view| view.asked.is_none() && view.last_id == last_id).await;
                }
            }
            (Some("online" | "offline" | "added"), _) => {}
            // The server does not know this socket any more.
            (Some("error"), _) if object["status"] == 401 => self.socket = None,
            // 503, or the function was cut off; which request it was is unknown.
            (Some("error") | None, _) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.subscribe_where(|view| view.asked.is_some()).await;
            }
            other => panic!("{other:?} {object}", other = other.0),
        }
    }

    async fn subscribe_where(&mut self, wanted: impl Fn(&View) -> bool) {
        for (uri, view) in &mut self.chats {
            if let Some(socket) = &mut self.socket
                && wanted(view)
            {
                let frame = json!({"action": "subscribe", "uri": uri, "after": view.last_id});
                view.asked = Some(Instant::now());
                if !socket.try_send(&frame).await {
                    self.socket = None;
                }
            }
        }
    }
}

/// Posts over HTTP until it is acknowledged, always with the same key, as a client's outbox does. It has a short
/// time-out: the request that timed out may still be running when it retries.
pub async fn post(user: &User<'_>, uri: &str, message: &str, patience: Duration) -> u64 {
    let mut patience = patience;
    loop {
        let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/")).timeout(patience);
        let request = request.header("Idempotency-Key", message).json(&json!({"message": message}));
        if let Ok(response) = request.send().await {
            let status = response.status().as_u16();
            if status == 503 {
                assert!(response.headers().contains_key("retry-after"));
            }
            assert!(status == 200 || status >= 500, "{status} for {message}");
            if status == 200
                && let Ok(receipt) = response.json::<Value>().await
            {
                return receipt["id"].as_u64().unwrap();
            }
        }
        patience = (patience * 2).min(DEADLINE);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}
