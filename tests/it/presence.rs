//! Presence and typing indicators, and notifications of new chats.

use std::{collections::BTreeSet, time::Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::{Fault, Proxy},
    world::{Socket, User, World, eventually, options},
};

/// The next object of one of these types.
async fn next_of(socket: &mut Socket, kinds: &[&str]) -> Value {
    loop {
        let object = socket.next_of_any().await;
        if kinds.iter().any(|kind| object["type"] == *kind) {
            return object;
        }
    }
}

async fn online(user: &User<'_>, uri: &str) -> Vec<u64> {
    let (status, chat) = user.get(&format!("/api/chats/{uri}/")).await;
    assert_eq!(status, 200, "{chat}");
    chat["online"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect()
}

const PRESENCE: &[&str] = &["online", "offline"];

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_broadcast_once_per_user() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    assert_eq!(online(&anna, &uri).await, [0; 0]);
    let mut annas = anna.subscribed(&uri).await;
    assert_eq!(next_of(&mut annas, PRESENCE).await["user"]["id"], anna.id);
    let (first, second) = (ben.subscribed(&uri).await, ben.subscribed(&uri).await);
    assert_eq!(online(&anna, &uri).await, [anna.id, ben.id]);
    let user = anna.get(&format!("/api/chats/{uri}/")).await.1["members"][1].clone();
    assert_eq!(next_of(&mut annas, PRESENCE).await, json!({"type": "online", "uri": uri, "user": user}));
    first.close().await;
    let standing = anna.socket().await.subscribe(&uri, 0).await;
    assert_eq!(standing["online"], json!([anna.id, ben.id]));
    second.close().await;
    assert_eq!(next_of(&mut annas, PRESENCE).await, json!({"type": "offline", "uri": uri, "user": user}));
    eventually("Ben is away", async || online(&anna, &uri).await == [anna.id]).await;
}

/// Needs a separate laptop cloud, where a batch of the stream begins with the changes made here.
#[tokio::test(flavor = "multi_thread")]
async fn quick_reconnects_and_second_sockets_do_not_change_presence() {
    let world = World::own(options()).await;
    let (anna, ben, cleo) = (world.user("anna").await, world.user("ben").await, world.user("cleo").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    cleo.join(&uri).await;
    let mut annas = anna.subscribed(&uri).await;
    assert_eq!(next_of(&mut annas, PRESENCE).await["user"]["id"], anna.id);
    let (first, second) = (ben.subscribed(&uri).await, ben.subscribed(&uri).await);
    assert_eq!(next_of(&mut annas, PRESENCE).await["user"]["id"], ben.id);
    first.close().await;
    second.close().await;
    let (_third, fourth) = (ben.subscribed(&uri).await, ben.subscribed(&uri).await);
    let cleos = cleo.subscribed(&uri).await;
    let event = next_of(&mut annas, PRESENCE).await;
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("online"), &json!(cleo.id)));
    fourth.close().await;
    cleos.close().await;
    let event = next_of(&mut annas, PRESENCE).await;
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("offline"), &json!(cleo.id)));
}

/// Each event would be sent to all members.
#[tokio::test(flavor = "multi_thread")]
async fn large_chats_get_no_presence_read_or_typing_events() {
    let mut options = options();
    options.parameters.insert("LargeChat".to_owned(), "1".to_owned());
    let world = World::own(options).await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    world.set(&uri, "member_count", 101).await;
    let (mut annas, mut bens) = (anna.subscribed(&uri).await, ben.subscribed(&uri).await);
    bens.send(&json!({"action": "typing", "uri": uri})).await;
    let read = bens.ask(&json!({"action": "read", "uri": uri, "id": 1})).await;
    assert_eq!(read, json!({"type": "read", "uri": uri, "read": {ben.id.to_string(): 1}}));
    let standing = anna.socket().await.subscribe(&uri, 0).await;
    assert_eq!((standing.get("read"), standing.get("online")), (Some(&Value::Null), Some(&Value::Null)), "{standing}");
    let shown = anna.get(&format!("/api/chats/{uri}/")).await.1;
    assert_eq!((&shown["read"], &shown["online"]), (&Value::Null, &Value::Null), "unknown is not offline: {shown}");
    bens.close().await;
    // The events of this are sent with those of Ben's disconnect, or after them.
    let other = anna.start_chat().await;
    let mut added = BTreeSet::new();
    while added.len() < 2 {
        let event = next_of(&mut annas, &["added", "online", "offline"]).await;
        assert_eq!(event["type"], "added");
        added.insert(event["uri"].as_str().unwrap().to_owned());
    }
    assert!(added.contains(&other));
    ben.post(&uri, "the end").await;
    let event = annas.next_of_any().await;
    assert_eq!((&event["type"], &event["message"]), (&json!("message"), &json!("the end")), "{event}");
}

/// On all of their sockets, with or without subscriptions.
#[tokio::test(flavor = "multi_thread")]
async fn invited_users_are_notified() {
    let world = World::any().await;
    let (anna, ben, other) = (world.user("anna").await, world.user("ben").await, world.user("other").await);
    let mut sockets = [ben.socket().await, ben.socket().await];
    let mut others = other.socket().await;
    let uri = anna.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let invited = anna.call(Method::PATCH, &path, json!({"usernames": [ben.username, other.username]})).await;
    assert_eq!(invited.0, 200);
    for socket in sockets.iter_mut().chain([&mut others]) {
        assert_eq!(next_of(socket, &["added"]).await, json!({"type": "added", "uri": uri}));
    }
    // The caller's sockets are notified, too, and moving a marker does not count as joining.
    assert_eq!(ben.call(Method::PUT, &format!("{path}read/"), json!({"id": 1})).await.0, 200);
    let own = ben.start_chat().await;
    for socket in &mut sockets {
        assert_eq!(next_of(socket, &["added"]).await["uri"], own);
    }
}

/// An invitation shows the guest's profile to the host, so the guest is notified even if they are removed at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_removed_at_once_is_notified_of_both() {
    let world = World::own(options()).await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let mut bens = ben.socket().await;
    let uri = anna.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    assert_eq!(anna.call(Method::PATCH, &path, json!({"username": ben.username})).await.0, 200);
    assert_eq!(anna.call(Method::DELETE, &format!("{path}members/{}/", ben.username), Value::Null).await.0, 204);
    for kind in ["added", "unsubscribed"] {
        assert_eq!(next_of(&mut bens, &["added", "unsubscribed"]).await, json!({"type": kind, "uri": uri}));
    }
}

/// Notifying a user of a chat is best effort: blocked sockets do not delay others.
#[tokio::test(flavor = "multi_thread")]
async fn blocked_sockets_do_not_delay_notifications_of_others() {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let world = Proxy::before_all(&services, options()).await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    let mut annas = anna.subscribed(&uri).await;
    let bens = join_all((0..30).map(|_| ben.socket())).await;
    services[3].inject(|call| if call.body.contains("\"added\"") { Fault::Hang } else { Fault::None });
    assert_eq!(anna.call(Method::PATCH, &format!("/api/chats/{uri}/"), json!({"username": ben.username})).await.0, 200);
    let frames = || services[3].count_of("reconcile", "POST");
    eventually("all of them were tried", async || frames() >= bens.len()).await;
    let cleo = world.user("cleo").await;
    cleo.join(&uri).await;
    let _cleos = cleo.subscribed(&uri).await;
    while next_of(&mut annas, &["online"]).await["user"]["id"] != cleo.id {}
}

/// A subscription that is too short to be broadcast is still visible to a concurrent read.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_seen_online_briefly_goes_offline() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let bens = ben.subscribed(&uri).await;
    let mut annas = anna.socket().await;
    assert!(annas.subscribe(&uri, 0).await["online"].as_array().unwrap().contains(&json!(ben.id)));
    bens.close().await;
    loop {
        let event = next_of(&mut annas, PRESENCE).await;
        if event["user"]["id"] == ben.id && event["type"] == "offline" {
            break;
        }
    }
}

/// API Gateway does not guarantee `$disconnect`; the next message detects the lost connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_socket_goes_offline() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let mut annas = anna.subscribed(&uri).await;
    // Only then, since any message to the chat detects it.
    let event = next_of(&mut annas, PRESENCE).await;
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("online"), &json!(anna.id)));
    ben.leave_stale_connection(&uri).await;
    let event = next_of(&mut annas, PRESENCE).await;
    assert_eq!((&event["type"], &event["user"]["id"]), (&json!("online"), &json!(ben.id)));
    anna.post(&uri, "anybody there?").await;
    let gone = next_of(&mut annas, PRESENCE).await;
    assert_eq!((&gone["type"], &gone["user"]["id"]), (&json!("offline"), &json!(ben.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_sent_to_the_others_and_rate_limited() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let (mut annas, mut bens) = (anna.subscribed(&uri).await, ben.subscribed(&uri).await);
    let typing = json!({"action": "typing", "uri": uri});
    let started = Instant::now();
    for _ in 0..6 {
        bens.send(&typing).await;
    }
    let user = anna.get(&format!("/api/chats/{uri}/")).await.1["members"][1].clone();
    assert_eq!(annas.next_of("typing").await, json!({"type": "typing", "uri": uri, "user": user}));
    ben.post(&uri, "typed").await;
    let more = annas.until("typed").await;
    // The number of six-second windows that the six can fall into; none is sent to Ben.
    let moments = started.elapsed().as_secs() / 6 + 2;
    let sent = 1 + more.iter().filter(|event| event["type"] == "typing").count() as u64;
    // The emulator accepts concurrent publications with the same deduplication id
    // (https://docs.aws.amazon.com/sns/latest/dg/fifo-message-dedup.html).
    assert!(sent <= moments || world.emulator(), "{sent} in {moments}: {more:?}");
    let own = bens.until("typed").await;
    assert!(own.iter().all(|event| event["type"] != "typing"), "{own:?}");
    assert_eq!(anna.history(&uri).await.len(), 1, "it is not kept");

    let stranger = world.user("stranger").await;
    let rejected = stranger.socket().await.ask(&typing).await;
    assert_eq!((&rejected["type"], &rejected["status"]), (&json!("error"), &json!(403)));
}
