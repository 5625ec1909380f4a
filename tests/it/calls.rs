//! How many calls a request makes: each costs time and money. Needs clouds of its own, behind proxies that count.

use serde_json::json;

use crate::{
    proxy::{Call, Proxy},
    world::{Socket, User, World},
};

/// The operations of one function. What goes on beside it (the fan-out, the relay) takes its own time and is not its cost.
fn operations(function: &str, calls: Vec<Call>) -> Vec<String> {
    calls.into_iter().filter(|call| call.caller == function).map(|call| call.operation).collect()
}

struct Room<'a> {
    owner: User<'a>,
    guest: User<'a>,
    uri: String,
    socket: Socket,
}

async fn room(world: &World) -> Room<'_> {
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let socket = owner.subscribed(&uri).await;
    Room { owner, guest, uri, socket }
}

#[tokio::test(flavor = "multi_thread")]
async fn posting_is_one_read_one_transaction_one_publication() {
    let (world, dynamodb, sns) = Proxy::world().await;
    let mut room = room(&world).await;
    for with_key in [false, true] {
        dynamodb.calls();
        sns.calls();
        let request = room.owner.request(reqwest::Method::POST, &format!("/api/chats/{}/messages/", room.uri));
        let request = if with_key { request.header("Idempotency-Key", "k") } else { request };
        let message = format!("{with_key}");
        assert!(request.json(&json!({ "message": message })).send().await.unwrap().status().is_success());
        assert_eq!(operations("post-message", dynamodb.calls()), ["BatchGetItem", "TransactWriteItems"]);
        assert_eq!(operations("post-message", sns.calls()), ["Publish"]);
        room.socket.until(&message).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_history_is_two_reads_and_its_pages() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut room = room(&world).await;
    room.owner.post(&room.uri, "one").await;
    room.guest.post(&room.uri, "two").await;
    room.socket.until("two").await;
    dynamodb.calls();
    assert_eq!(room.owner.get(&format!("/api/chats/{}/messages/", room.uri)).await.0, 200);
    // Who asks and what they may see; the page; who spoke.
    assert_eq!(operations("list-messages", dynamodb.calls()), ["BatchGetItem", "Query", "BatchGetItem"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn delivering_one_entry_reads_no_log() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut room = room(&world).await;
    room.owner.post(&room.uri, "one").await;
    room.socket.until("one").await;
    dynamodb.calls();
    room.owner.post(&room.uri, "two").await;
    room.socket.until("two").await;
    let partition = format!("LOG#{}", room.uri);
    let reads = dynamodb.calls().into_iter().filter(|call| call.operation == "Query" && call.body.contains(&partition));
    assert_eq!(reads.count(), 0);
}
