//! The number of AWS calls per request: each costs time and money. Needs separate laptop clouds, behind proxies that
//! count.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::{Call, Proxy},
    world::{Socket, User, World},
};

/// The operations of one function. Others (the fan-out, the relay) run concurrently and are not counted.
fn operations(function: &str, calls: Vec<Call>) -> Vec<String> {
    calls.into_iter().filter(|call| call.caller == function).map(|call| call.operation).collect()
}

struct Chat<'a> {
    owner: User<'a>,
    guest: User<'a>,
    uri: String,
    socket: Socket,
}

async fn chat(world: &World) -> Chat<'_> {
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let socket = owner.subscribed(&uri).await;
    Chat { owner, guest, uri, socket }
}

#[tokio::test(flavor = "multi_thread")]
async fn posting_is_one_read_one_transaction_one_publication() {
    let (world, dynamodb, sns) = Proxy::world().await;
    let mut chat = chat(&world).await;
    for with_key in [false, true] {
        dynamodb.calls();
        sns.calls();
        let request = chat.owner.request(Method::POST, &format!("/api/chats/{}/messages/", chat.uri));
        let request = if with_key { request.header("Idempotency-Key", "k") } else { request };
        let message = format!("{with_key}");
        assert!(request.json(&json!({ "message": message })).send().await.unwrap().status().is_success());
        assert_eq!(operations("post-message", dynamodb.calls()), ["BatchGetItem", "TransactWriteItems"]);
        assert_eq!(operations("post-message", sns.calls()), ["Publish"]);
        chat.socket.until(&message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_history_is_two_reads_and_its_pages() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut chat = chat(&world).await;
    let one = chat.owner.post(&chat.uri, "one").await;
    let two = chat.guest.post(&chat.uri, "two").await;
    chat.socket.until("two").await;
    dynamodb.calls();
    assert_eq!(chat.owner.get(&format!("/api/chats/{}/messages/", chat.uri)).await.0, 200);
    // The caller and their access; the page; the authors.
    assert_eq!(operations("list-messages", dynamodb.calls()), ["BatchGetItem", "Query", "BatchGetItem"]);

    // The reader's own reactions, in one read for all messages that have any.
    for (user, id) in [(&chat.owner, one), (&chat.guest, one), (&chat.guest, two)] {
        let path = format!("/api/chats/{}/messages/{id}/reactions/👍/", chat.uri);
        assert_eq!(user.call(Method::PUT, &path, Value::Null).await.0, 200);
    }
    dynamodb.calls();
    let (_, page) = chat.owner.get(&format!("/api/chats/{}/messages/", chat.uri)).await;
    assert_eq!(
        (&page["messages"][0]["reactions"][0]["mine"], &page["messages"][1]["reactions"][0]["mine"]),
        (&json!(true), &json!(false))
    );
    let calls = operations("list-messages", dynamodb.calls());
    assert_eq!(calls, ["BatchGetItem", "Query", "BatchGetItem", "BatchGetItem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_is_the_same_calls_whether_a_message_has_others() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut chat = chat(&world).await;
    let id = chat.owner.post(&chat.uri, "one").await;
    chat.socket.until("one").await;
    let path = format!("/api/chats/{}/messages/{id}/reactions/👍/", chat.uri);
    for user in [&chat.owner, &chat.guest] {
        dynamodb.calls();
        assert_eq!(user.call(Method::PUT, &path, Value::Null).await.0, 200);
        let calls = operations("react", dynamodb.calls());
        let (reads, others): (Vec<String>, Vec<String>) = calls.into_iter().partition(|call| call.contains("Get"));
        // Access; the message and the caller's reactions; for the event; and for the answer the message, its author
        // and the caller's reactions.
        assert!(reads.len() <= 6, "{reads:?}");
        assert_eq!(others, ["TransactWriteItems"]);
    }
}

/// For any number of chats and entries.
#[tokio::test(flavor = "multi_thread")]
async fn listing_chats_is_a_bounded_number_of_calls() {
    let (world, dynamodb, _) = Proxy::world().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let chats: Vec<String> = stream::iter((0..40).map(async |_| {
        let uri = anna.start_chat().await;
        ben.join(&uri).await;
        for message in ["one", "two"] {
            anna.post(&uri, message).await;
        }
        uri
    }))
    .buffer_unordered(8)
    .collect()
    .await;
    let list = async || {
        dynamodb.calls();
        let (status, body) = ben.get("/api/chats/?limit=100").await;
        assert_eq!(status, 200, "{body}");
        let unread = |chat: &Value| (chat["unread"].as_u64().unwrap(), chat["unread_more"].as_bool().unwrap());
        let unread: Vec<_> = body["chats"].as_array().unwrap().iter().map(unread).collect();
        (unread, operations("list-chats", dynamodb.calls()))
    };
    let (unread, calls) = list().await;
    assert_eq!(unread, vec![(2, false); 40]);
    // The caller; the memberships; the chats; their last messages and markers, two of which fit into a hundred keys;
    // the authors.
    assert_eq!(calls, ["BatchGetItem", "Query", "BatchGetItem", "BatchGetItem", "BatchGetItem", "BatchGetItem"]);

    // The counts do not show which message was deleted, so the logs of some chats are read; the others report that
    // there may be more.
    let delete =
        async |uri: &String| anna.call(Method::DELETE, &format!("/api/chats/{uri}/messages/2/"), Value::Null).await;
    let deleted: Vec<_> = stream::iter(chats.iter().map(delete)).buffer_unordered(8).collect().await;
    assert!(deleted.iter().all(|(status, _)| *status == 204));
    let (unread, calls) = list().await;
    assert!(unread.iter().all(|unread| *unread == (1, false) || *unread == (1, true)), "{unread:?}");
    let reads = calls.iter().filter(|call| *call == "Query").count();
    assert!((2..=21).contains(&reads) && unread.contains(&(1, true)), "{reads} {unread:?}");
}

/// The writes do not grow with the number of chats, and no transaction is on an item that all of them have in common.
#[tokio::test(flavor = "multi_thread")]
async fn subscribing_to_81_chats_is_a_bounded_number_of_writes() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let chats: Vec<String> = stream::iter((0..81).map(|_| user.start_chat())).buffer_unordered(8).collect().await;
    let mut socket = user.socket().await;
    let chats: Vec<(&str, u64)> = chats.iter().map(|uri| (uri.as_str(), 0)).collect();
    dynamodb.calls();
    assert_eq!(socket.subscribe_to_all(&chats).await.len(), 81);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations("ws-message", dynamodb.calls()) {
        *counts.entry(operation).or_default() += 1;
    }
    // The caller; the subscribers, 25 a call; the connection, before and after; the memberships, before and after, and
    // each chat with its members and its subscribers; the connection's chats.
    let queries = 2 + 2 * 81;
    let expected = [("BatchGetItem", 1), ("BatchWriteItem", 4), ("GetItem", 2), ("Query", queries), ("UpdateItem", 1)];
    assert_eq!(counts, expected.map(|(operation, count)| (operation.to_owned(), count)).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn moving_a_marker_is_one_read_and_one_write() {
    let (world, dynamodb, sns) = Proxy::world().await;
    let mut chat = chat(&world).await;
    chat.guest.post(&chat.uri, "one").await;
    chat.socket.until("one").await;
    let path = format!("/api/chats/{}/read/", chat.uri);
    for expected in [&["BatchGetItem", "UpdateItem"][..], &["BatchGetItem"]] {
        dynamodb.calls();
        sns.calls();
        assert_eq!(chat.owner.call(Method::PUT, &path, json!({"id": 2})).await.0, 200);
        assert_eq!(operations("mark-read", dynamodb.calls()), expected);
        assert_eq!(operations("mark-read", sns.calls()), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn delivering_one_entry_reads_no_log() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut chat = chat(&world).await;
    chat.owner.post(&chat.uri, "one").await;
    chat.socket.until("one").await;
    dynamodb.calls();
    chat.owner.post(&chat.uri, "two").await;
    chat.socket.until("two").await;
    let partition = format!("LOG#{}", chat.uri);
    let reads = dynamodb.calls().into_iter().filter(|call| call.operation == "Query" && call.body.contains(&partition));
    assert_eq!(reads.count(), 0);
}
