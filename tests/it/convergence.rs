//! The central property: a client that folds what it receives (`subscribed` and live entries) ends with the state of
//! the history, however its sockets connect and disconnect.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{Socket, User, World};

#[derive(Clone, Debug)]
enum Step {
    /// A member posts over HTTP.
    Post,
    /// The client sends over its socket, if it has one.
    Send,
    /// Several members post concurrently.
    Burst(usize),
    /// A new user joins.
    Join,
    /// The member who joined last leaves, unless they own the chat.
    Leave,
    /// The speaker moves the read marker to an entry, counted from the last.
    Read(u64),
    /// The owner transfers the ownership, to the member who joined last or back.
    HandOver,
    /// A member edits one of their messages, counted from the last.
    Edit(usize),
    /// A member deletes one of their messages.
    Delete(usize),
    /// A member reacts to one of their messages, or removes the reaction.
    React(usize, &'static str, bool),
    /// The client's connection is lost.
    Drop,
    /// The client connects and subscribes from its last id.
    Connect,
    /// The client subscribes again while it is subscribed.
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Post),
        2 => Just(Step::Send),
        2 => (2..6_usize).prop_map(Step::Burst),
        2 => Just(Step::Join),
        1 => Just(Step::Leave),
        1 => Just(Step::HandOver),
        2 => (0..4_u64).prop_map(Step::Read),
        2 => (0..4_usize).prop_map(Step::Edit),
        1 => (0..4_usize).prop_map(Step::Delete),
        3 => ((0..4_usize), prop_oneof![Just("👍"), Just("🎉")], any::<bool>())
            .prop_map(|(back, emoji, on)| Step::React(back, emoji, on)),
        2 => Just(Step::Drop),
        3 => Just(Step::Connect),
        1 => Just(Step::Again),
    ];
    proptest::collection::vec(step, 1..14)
}

/// A client that follows the documented protocol: it keeps the last id, drops repeats, and subscribes again at a gap.
struct Client<'a> {
    user: &'a User<'a>,
    uri: String,
    socket: Option<Socket>,
    last_id: u64,
    /// The text and the number of reactions of each message.
    messages: BTreeMap<u64, (Value, BTreeMap<String, Value>)>,
    members: BTreeSet<u64>,
    owner: u64,
    /// The read marker of each member, which starts at the `joined` entry.
    read: BTreeMap<u64, u64>,
}

impl Client<'_> {
    fn fold(&mut self, entry: &Value) -> bool {
        match entry["id"].as_u64().unwrap() {
            id if id <= self.last_id => true,
            id if id == self.last_id + 1 => {
                self.last_id = id;
                if entry["type"] == "void" {
                    return true;
                }
                let user_id = entry["user"]["id"].as_u64().unwrap();
                let of = entry["of"].as_u64().and_then(|of| self.messages.get_mut(&of));
                match (entry["type"].as_str().unwrap(), of) {
                    ("message", _) => drop(self.messages.insert(id, (entry["message"].clone(), BTreeMap::new()))),
                    ("edited", Some((message, _))) => *message = entry["message"].clone(),
                    ("deleted", Some(message)) => *message = (json!(""), BTreeMap::new()),
                    ("reacted" | "unreacted", Some((_, reactions))) => {
                        let emoji = entry["emoji"].as_str().unwrap().to_owned();
                        reactions.insert(emoji, entry["count"].clone());
                        reactions.retain(|_, count| *count != 0);
                    }
                    ("joined", None) => {
                        assert!(self.members.insert(user_id), "{entry}");
                        self.reads(user_id, id);
                    }
                    ("left", None) => {
                        assert!(self.members.remove(&user_id), "{entry}");
                        self.read.remove(&user_id);
                    }
                    ("owner", None) => self.owner = user_id,
                    _ => panic!("{entry}"),
                }
                true
            }
            _ => false,
        }
    }

    /// A marker moves forward only.
    fn read(&mut self, object: &Value) {
        for (user_id, id) in object["read"].as_object().unwrap() {
            self.reads(user_id.parse().unwrap(), id.as_u64().unwrap());
        }
    }

    fn reads(&mut self, user_id: u64, id: u64) {
        let read_id = self.read.entry(user_id).or_default();
        *read_id = id.max(*read_id);
    }

    async fn subscribe(&mut self) {
        let frame = json!({"action": "subscribe", "uri": self.uri, "after": self.last_id});
        self.socket.as_mut().unwrap().send(&frame).await;
    }

    async fn connect(&mut self) {
        if self.socket.is_none() {
            self.socket = Some(self.user.socket().await);
            self.subscribe().await;
        }
    }

    /// Takes one object from the socket.
    async fn take(&mut self) {
        let object = self.socket.as_mut().unwrap().next().await;
        match object["type"].as_str().unwrap() {
            "subscribed" => {
                assert_eq!(object["recovered"], true, "{object}");
                for entry in object["entries"].as_array().unwrap() {
                    assert!(self.fold(entry), "a hole in {object}");
                }
                self.read(&object);
            }
            "message" | "joined" | "left" | "owner" | "edited" | "deleted" | "reacted" | "unreacted" | "void" => {
                // At a gap, for example before the response to its subscription, it subscribes again.
                if !self.fold(&object) {
                    self.subscribe().await;
                }
            }
            "read" => self.read(&object),
            "sent" => {}
            other => panic!("{other}"),
        }
    }
}

async fn run(world: &World, steps: Vec<Step>) {
    let (watcher, speaker) = (world.user("watcher").await, world.user("speaker").await);
    let uri = speaker.start_chat().await;
    watcher.join(&uri).await;
    let mut client = Client {
        user: &watcher,
        uri: uri.clone(),
        socket: None,
        last_id: 0,
        messages: BTreeMap::new(),
        members: [speaker.id].into(),
        owner: speaker.id,
        read: BTreeMap::new(),
    };
    let path = format!("/api/chats/{uri}/");
    let (mut guests, mut is_handed_over) = (Vec::new(), false);
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Post => drop(speaker.post(&uri, &format!("post {n}")).await),
            Step::Send => {
                if let Some(socket) = &mut client.socket {
                    socket.send(&json!({"action": "send", "uri": uri, "message": format!("send {n}")})).await;
                }
            }
            Step::Burst(size) => {
                let texts: Vec<String> = (0..size).map(|i| format!("burst {n} {i}")).collect();
                futures_util::future::join_all(texts.iter().map(|text| speaker.post(&uri, text))).await;
            }
            Step::Edit(_) | Step::Delete(_) | Step::React(..) => change_message(&speaker, &uri, n, step).await,
            Step::Read(back) => {
                let last_id = speaker.get(&path).await.1["last_id"].as_u64().unwrap();
                let id = json!({"id": last_id.saturating_sub(back)});
                assert_eq!(speaker.call(Method::PUT, &format!("{path}read/"), id).await.0, 200);
            }
            Step::Join if is_handed_over => {}
            Step::Join => {
                let guest = world.user("guest").await;
                guest.join(&uri).await;
                guests.push(guest);
            }
            Step::Leave => {
                if let Some(guest) = guests.pop_if(|_| !is_handed_over) {
                    let member = format!("{path}members/{}/", guest.username);
                    assert_eq!(guest.call(Method::DELETE, &member, Value::Null).await.0, 204);
                }
            }
            Step::HandOver => {
                if let Some(guest) = guests.last() {
                    let (owner, heir) = if is_handed_over { (guest, &speaker) } else { (&speaker, guest) };
                    assert_eq!(owner.call(Method::PATCH, &path, json!({"owner": heir.username})).await.0, 200);
                    is_handed_over = !is_handed_over;
                }
            }
            Step::Drop => client.socket = None,
            Step::Connect => client.connect().await,
            Step::Again => {
                if client.socket.is_some() {
                    client.subscribe().await;
                }
            }
        }
    }
    client.connect().await;
    speaker.post(&uri, "the end").await;
    // The client's own messages may arrive after the end, even in the same frame.
    while !client.messages.values().any(|(message, _)| *message == "the end") {
        client.take().await;
    }
    let chat = watcher.get(&path).await.1;
    while client.last_id < chat["last_id"].as_u64().unwrap() {
        client.take().await;
    }
    let members = chat["members"].as_array().unwrap().iter().map(|member| member["id"].as_u64().unwrap()).collect();
    let read = chat["read"].as_object().unwrap().iter();
    let read: BTreeMap<u64, u64> = read.map(|(user_id, id)| (user_id.parse().unwrap(), id.as_u64().unwrap())).collect();
    // Markers are not in the log, and may arrive after its end.
    while client.read != read {
        client.take().await;
    }
    assert_eq!((client.members, client.owner), (members, chat["owner"]["id"].as_u64().unwrap()));
    let history = watcher.get(&format!("/api/chats/{uri}/messages/")).await.1["messages"].as_array().unwrap().clone();
    let history: BTreeMap<u64, (Value, BTreeMap<String, Value>)> = history
        .iter()
        .map(|message| {
            let reactions = message["reactions"].as_array().unwrap().iter();
            let counts = reactions.map(|one| (one["emoji"].as_str().unwrap().to_owned(), one["count"].clone()));
            (message["id"].as_u64().unwrap(), (message["message"].clone(), counts.collect()))
        })
        .filter(|(id, _)| *id <= client.last_id)
        .collect();
    assert_eq!(client.messages, history);
}

/// Changes one of the speaker's messages, if there are enough.
async fn change_message(speaker: &User<'_>, uri: &str, n: usize, step: Step) {
    let (Step::Edit(back) | Step::Delete(back) | Step::React(back, ..)) = step else { unreachable!() };
    let history = speaker.history(uri).await;
    let own = history.iter().rev().filter(|message| message["user"]["id"] == speaker.id);
    let Some(id) = own.map(|message| message["id"].clone()).nth(back) else { return };
    let path = format!("/api/chats/{uri}/messages/{id}/");
    let (status, body) = match step {
        Step::React(_, emoji, on) => {
            let method = if on { Method::PUT } else { Method::DELETE };
            speaker.call(method, &format!("{path}reactions/{emoji}/"), Value::Null).await
        }
        Step::Delete(_) => speaker.call(Method::DELETE, &path, Value::Null).await,
        _ => speaker.call(Method::PATCH, &path, json!({"message": format!("edited {n}")})).await,
    };
    // Deleted messages cannot be changed.
    assert!([200, 204, 404].contains(&status.as_u16()), "{status} {body}");
}

#[test]
fn state_plus_events_equals_a_fresh_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = runtime.block_on(World::any());
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 8, ..Config::default() };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(run(&world, steps));
        Ok(())
    });
    result.unwrap();
}
