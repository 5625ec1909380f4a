//! Chats in which appends contend: ids are reserved, and whatever happens in between, the log has no gaps.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{Socket, User, World, answer},
};

struct HotChat<'a> {
    owner: User<'a>,
    guest: User<'a>,
    uri: String,
}

impl<'a> HotChat<'a> {
    async fn new(world: &'a World) -> Self {
        let (owner, guest) = (world.user("owner").await, world.user("guest").await);
        let uri = owner.start_chat().await;
        guest.join(&uri).await;
        world.heat(&uri).await;
        Self { owner, guest, uri }
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/chats/{}/{rest}", self.uri)
    }

    /// The whole log. It has no gaps.
    async fn log(&self) -> Vec<Value> {
        log(&self.owner, &self.uri).await
    }
}

async fn log(reader: &User<'_>, uri: &str) -> Vec<Value> {
    let (mut path, mut entries) = (Some(format!("/api/chats/{uri}/export/")), Vec::new());
    while let Some(address) = path {
        let response = reader.request(Method::GET, &address).send().await.unwrap();
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        path = link.map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        let lines = response.text().await.unwrap();
        entries.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let ids = entries.iter().map(|entry| entry["id"].as_u64().unwrap());
    assert!(ids.eq(1..=entries.len() as u64), "the log has gaps: {entries:?}");
    entries
}

fn of_type(log: &[Value], kind: &str) -> Vec<u64> {
    log.iter().filter(|entry| entry["type"] == kind).map(|entry| entry["id"].as_u64().unwrap()).collect()
}

/// The entries of a chat on a socket, up to the id.
async fn received(socket: &mut Socket, last_id: u64) -> Vec<(u64, String)> {
    let mut entries: BTreeMap<u64, String> = BTreeMap::new();
    let mut last = 0;
    while last < last_id {
        let object = socket.next().await;
        let Some(id) = object["id"].as_u64() else { continue };
        // Delivery is at least once, and in order.
        assert!(id <= last + 1 || last == 0, "{id} came after {last}");
        last = last.max(id);
        entries.insert(id, object["type"].as_str().unwrap().to_owned());
    }
    entries.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_in_a_hot_chat_reserves_its_id() {
    let (world, dynamodb, sns) = Proxy::world().await;
    let chat = HotChat::new(&world).await;
    dynamodb.calls();
    sns.calls();
    let id = chat.owner.post(&chat.uri, "hot").await;
    let calls: Vec<String> =
        dynamodb.calls().into_iter().filter(|call| call.caller == "post-message").map(|call| call.operation).collect();
    // Access; the id; the entry. A rate limit is one update more.
    assert_eq!(calls, ["BatchGetItem", "UpdateItem", "TransactWriteItems"]);
    assert_eq!(sns.count_of("post-message", "Publish"), 1);
    assert_eq!(of_type(&chat.log().await, "message"), [id]);
}

/// All at once, by posts, edits, deletions and reactions of several users on several sockets.
#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_is_in_the_log_once_and_in_one_order() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    let users = join_all((0..8).map(|_| world.user("user"))).await;
    for user in &users {
        user.join(&uri).await;
    }
    let mut sockets = join_all(users[..3].iter().map(|user| user.subscribed(&uri))).await;
    let path = format!("/api/chats/{uri}/messages/");
    let posted = users.iter().enumerate().map(async |(n, user)| {
        let mut ids = Vec::new();
        for round in 0..6 {
            let id = user.post(&uri, &format!("{n}-{round}")).await;
            ids.push(id);
            let (message, reaction) = (format!("{path}{id}/"), format!("{path}{id}/reactions/👍/"));
            let edit = user.call(Method::PATCH, &message, json!({"message": format!("{n}-{round} edited")}));
            let react = users[(n + 1) % users.len()].call(Method::PUT, &reaction, Value::Null);
            let ((edited, _), (reacted, _)) = tokio::join!(edit, react);
            assert_eq!((edited, reacted), (StatusCode::OK, StatusCode::OK));
            if round % 3 == 0 {
                assert_eq!(user.call(Method::DELETE, &message, Value::Null).await.0, StatusCode::NO_CONTENT);
            }
        }
        ids
    });
    let mut posted: Vec<u64> = join_all(posted).await.concat();
    posted.sort_unstable();
    let log = log(&owner, &uri).await;
    assert_eq!(of_type(&log, "message"), posted);
    let [edited, reacted, deleted] = ["edited", "reacted", "deleted"].map(|kind| of_type(&log, kind).len());
    assert_eq!((edited, reacted, deleted), (48, 48, 16));
    let last_id = log.len() as u64;
    let orders = join_all(sockets.iter_mut().map(|socket| received(socket, last_id))).await;
    for order in orders {
        let first = order[0].0 as usize - 1;
        let logged = log[first..]
            .iter()
            .map(|entry| (entry["id"].as_u64().unwrap(), entry["type"].as_str().unwrap().to_owned()));
        assert!(order.into_iter().eq(logged), "a socket's order and the log's");
    }
    let history = owner.history(&uri).await;
    for message in history {
        let text = message["message"].as_str().unwrap();
        let is_deleted = !message["delete_date"].is_null();
        assert!(is_deleted && text.is_empty() || !is_deleted && text.ends_with("edited"), "{message}");
        let reactions = if is_deleted { 0 } else { 1 };
        assert_eq!(message["reactions"].as_array().unwrap().len(), reactions, "{message}");
    }
}

/// A function is cut off between reserving and committing.
#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_closed_and_blocks_nothing() {
    let world = World::any().await;
    let chat = HotChat::new(&world).await;
    let mut socket = chat.guest.subscribed(&chat.uri).await;
    let before = chat.log().await.len() as u64;
    world.reserve(&chat.uri, 2).await;
    let id = chat.owner.post(&chat.uri, "behind two holes").await;
    assert_eq!(id, before + 3);
    let entries = socket.until("behind two holes").await;
    let kinds: Vec<(&str, u64)> =
        entries.iter().map(|entry| (entry["type"].as_str().unwrap(), entry["id"].as_u64().unwrap())).collect();
    assert_eq!(kinds, [("void", before + 1), ("void", before + 2), ("message", id)]);
    let next = chat.guest.post(&chat.uri, "and on").await;
    assert_eq!(next, id + 1);
    let history: Vec<u64> =
        chat.owner.history(&chat.uri).await.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    assert_eq!(history, [id, next]);
    assert_eq!(of_type(&chat.log().await, "void"), [before + 1, before + 2]);
    // They are not counted as unread.
    let (_, list) = chat.owner.get("/api/chats/").await;
    assert_eq!(list["chats"][0]["unread"], 1, "{list}");
}

/// The end that readers see is the visible one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_of_a_reserved_id() {
    let world = World::any().await;
    let chat = HotChat::new(&world).await;
    let id = chat.owner.post(&chat.uri, "the last one").await;
    chat.guest.subscribed(&chat.uri).await.close().await;
    world.reserve(&chat.uri, 1).await;
    let socket = &mut chat.guest.socket().await;
    socket.send(&json!({"action": "subscribe", "uri": chat.uri})).await;
    assert_eq!(socket.next_of("subscribed").await["last_id"], id);
    assert_eq!(socket.subscribe(&chat.uri, 1).await["last_id"], id);
    assert_eq!(chat.guest.get(&chat.path("")).await.1["last_id"], id);
    let (_, history) = chat.guest.get(&chat.path("messages/")).await;
    assert_eq!((&history["last_id"], history["messages"].as_array().unwrap().len()), (&json!(id), 1));
    let (_, list) = chat.guest.get("/api/chats/").await;
    let summary = &list["chats"][0];
    assert_eq!((&summary["last_id"], &summary["last_message"]["id"]), (&json!(id), &json!(id)), "{list}");
    assert_eq!(summary["unread"], 1, "a reserved id is not a message: {list}");
}

/// A commit that comes after its id was closed has another id, and is in the log once.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_commit_gets_another_id() {
    let (world, dynamodb, _) = Proxy::world().await;
    let chat = HotChat::new(&world).await;
    let mut socket = chat.guest.subscribed(&chat.uri).await;
    let before = chat.log().await.len() as u64;
    let gate = dynamodb.hold(|call| call.caller == "post-message" && call.operation == "TransactWriteItems");
    let late = chat.owner.post(&chat.uri, "late");
    let others = async {
        gate.reached().await;
        let id = chat.guest.post(&chat.uri, "in time").await;
        let entries = socket.until("in time").await;
        assert_eq!((&entries[0]["type"], &entries[0]["id"]), (&json!("void"), &json!(before + 1)));
        gate.open();
        id
    };
    let (late, in_time) = tokio::join!(late, others);
    assert_eq!((in_time, late), (before + 2, before + 3));
    socket.until("late").await;
    assert_eq!(of_type(&chat.log().await, "message"), [in_time, late]);
}

/// What is refused leaves a void, and what is refused before it reserves an id leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_commit_leaves_a_void() {
    let (world, dynamodb, _) = Proxy::world().await;
    let chat = HotChat::new(&world).await;
    let mut socket = chat.owner.subscribed(&chat.uri).await;
    // The guest is removed while their post is under way.
    let gate = dynamodb.hold(|call| call.caller == "post-message" && call.operation == "TransactWriteItems");
    let post = chat.guest.request(Method::POST, &chat.path("messages/")).json(&json!({"message": "too late"}));
    let removal = async {
        gate.reached().await;
        let member = chat.path(&format!("members/{}/", chat.guest.username));
        assert_eq!(chat.owner.call(Method::DELETE, &member, Value::Null).await.0, StatusCode::NO_CONTENT);
        gate.open();
    };
    let ((status, body), ()) = tokio::join!(answer(post), removal);
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let id = chat.owner.post(&chat.uri, "and on").await;
    let entries = socket.until("and on").await;
    assert_eq!(entries[0]["type"], "void", "{entries:?}");
    assert_eq!(entries[1]["type"], "left", "{entries:?}");
    assert_eq!(of_type(&chat.log().await, "message"), [id]);

    // A key that was used by a concurrent request is the same message.
    world.heat(&chat.uri).await;
    let request = |text: &str| {
        let request = chat.owner.request(Method::POST, &chat.path("messages/")).header("Idempotency-Key", "k");
        answer(request.json(&json!({ "message": text })))
    };
    let answers = join_all((0..6).map(|_| request("once"))).await;
    let ids: BTreeSet<u64> = answers.iter().map(|(_, body)| body["id"].as_u64().expect("an id")).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    assert_eq!(of_type(&chat.log().await, "message").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_post_leaves_no_void() {
    let mut options = crate::world::options();
    options.parameters.insert("PostsPerMinute".to_owned(), "3".to_owned());
    let world = World::own(options).await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    world.heat(&uri).await;
    let path = format!("/api/chats/{uri}/messages/");
    let post = || owner.call(Method::POST, &path, json!({"message": "hello"}));
    let statuses: Vec<StatusCode> = join_all((0..8).map(|_| post())).await.into_iter().map(|answer| answer.0).collect();
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    assert_eq!(of_type(&log(&owner, &uri).await, "void"), Vec::<u64>::new());
}

/// Members come and go while others post without a pause. Nobody acts behind the entry that took their right away.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_after_they_left() {
    let world = World::any().await;
    let chat = HotChat::new(&world).await;
    let others = join_all((0..4).map(|_| world.user("other"))).await;
    let path = chat.path("messages/");
    let come_and_go = others.iter().map(async |user| {
        for _ in 0..3 {
            user.join(&chat.uri).await;
            let posts = (0..4).map(|n| user.call(Method::POST, &path, json!({"message": format!("{n}")})));
            let member = chat.path(&format!("members/{}/", user.username));
            let leave = user.call(Method::DELETE, &member, Value::Null);
            let (posted, left) = tokio::join!(join_all(posts), leave);
            assert_eq!(left.0, StatusCode::NO_CONTENT, "{}", left.1);
            let allowed = [StatusCode::OK, StatusCode::FORBIDDEN];
            assert!(posted.iter().all(|(status, _)| allowed.contains(status)), "{posted:?}");
        }
    });
    let talk = async {
        for n in 0..20 {
            chat.owner.post(&chat.uri, &format!("{n}")).await;
        }
    };
    tokio::join!(join_all(come_and_go), talk);
    let mut members = BTreeSet::from([chat.owner.id]);
    for entry in chat.log().await {
        let user_id = entry["user"]["id"].as_u64().unwrap_or_default();
        match entry["type"].as_str().unwrap() {
            "joined" => assert!(members.insert(user_id), "{entry}"),
            "left" => assert!(members.remove(&user_id), "{entry}"),
            "message" => assert!(members.contains(&user_id), "{entry}"),
            other => assert_eq!(other, "void"),
        }
    }
    let (_, shown) = chat.owner.get(&chat.path("")).await;
    assert_eq!(shown["member_count"], 2, "{shown}");
    assert_eq!(members, BTreeSet::from([chat.owner.id, chat.guest.id]));
}

/// The holder of the lock is cut off: the others wait until the lock expires.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_left_behind_expires() {
    let (world, dynamodb, _) = Proxy::world().await;
    let chat = HotChat::new(&world).await;
    let newcomer = world.user("newcomer").await;
    let gate = dynamodb.hold(|call| call.caller == "join-chat" && call.operation == "TransactWriteItems");
    let join = newcomer.join(&chat.uri);
    let post = async {
        gate.reached().await;
        let id = chat.owner.post(&chat.uri, "after the lock").await;
        gate.open();
        id
    };
    let ((), id) = tokio::join!(join, post);
    let log = chat.log().await;
    assert_eq!((of_type(&log, "message"), of_type(&log, "joined").len()), (vec![id], 2));
    assert_eq!(of_type(&log, "joined").last(), Some(&(id + 1)), "the join was behind, and tried again");
}
