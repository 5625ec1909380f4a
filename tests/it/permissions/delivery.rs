//! Deliveries and subscriptions that meet an obstacle.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    batches,
    proxy::{Call, Fault, Proxy},
    world::{World, eventually, unique},
};

pub fn is_registration_of_several(call: &Call) -> bool {
    call.caller == "ws-message" && call.body.matches("PutRequest").count() > 1
}

/// Subscriptions whose connection goes while they are registered, or whose registration was cut off.
pub async fn interrupted_registrations(world: &World, dynamodb: &Proxy) {
    let user = world.user("user").await;
    let chats = [user.start_chat().await, user.start_chat().await];
    let asked: Vec<Value> = chats.iter().map(|uri| json!({ "uri": uri })).collect();
    let mut socket = user.socket().await;
    let before = dynamodb.count_of("ws-message", "BatchWriteItem");
    socket.send(&json!({"action": "subscribe", "chats": asked})).await;
    eventually("it registers", async || dynamodb.count_of("ws-message", "BatchWriteItem") > before).await;
    assert_eq!(user.call(Method::POST, "/auth/token/logout/", Value::Null).await.0, 204);
    socket.closed().await;
    user.leave_orphaned_subscriber(&chats[0]).await;
    for uri in &chats {
        eventually("there is no subscriber", async || world.items(&format!("SUBSCRIBERS#{uri}")).await.is_empty())
            .await;
    }
}

pub async fn large_chats_and_slow_consumers(world: &World, services: &[Proxy; 4]) {
    let sockets = &services[3];
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    let mut heard = vec![owner.subscribed(&uri).await];
    sockets.refuse(|call| call.operation == "POST");
    owner.post(&uri, "to a slow consumer").await;
    // Once directly, and then through the queue.
    eventually("three tries", async || sockets.count("POST") >= 3).await;
    sockets.refuse(|_| false);
    heard[0].until("to a slow consumer").await;
    owner.leave_stale_connection(&uri).await;
    for _ in 0..4 {
        heard.push(owner.subscribed(&uri).await);
    }
    owner.post(&uri, "to a large chat").await;
    for socket in &mut heard {
        socket.until("to a large chat").await;
    }
    let before = sockets.count("POST");
    sockets.refuse(|call| call.operation == "POST");
    owner.post(&uri, "to slow consumers in a large chat").await;
    eventually("two tries for each", async || sockets.count("POST") >= before + 2 * heard.len()).await;
    sockets.refuse(|_| false);
    for socket in &mut heard {
        socket.until("to slow consumers in a large chat").await;
    }
    let queue = world.sqs().send_message().queue_url(&world.cloud.as_ref().unwrap().outputs()["DeliveryQueueUrl"]);
    let queue = queue.message_group_id("poison").message_deduplication_id(unique("poison"));
    queue.message_body("poison").send().await.unwrap();
    // One socket too many closes the oldest.
    let crowd = world.user("crowd").await;
    let mut crowded = vec![crowd.subscribed(&crowd.start_chat().await).await];
    for _ in 0..8 {
        crowded.push(crowd.socket().await);
    }
    crowded.remove(0).closed().await;
    // A socket that alone cannot be written to in the end is closed. The gateway is asked about it.
    let connection = world.items(&format!("USER#{}", owner.id)).await;
    let connection = connection.iter().find_map(|item| item.get("connection_id")).unwrap().as_s().unwrap().clone();
    sockets.refuse(|call| call.operation == "POST");
    let deliver = batches::by_hand(world, services, "deliver", "deliver");
    let queued = json!({"uri": uri, "to": {"connection": connection}, "frame": "{}", "written": null});
    let record = batches::record("1", &connection, 1, &queued);
    while !batches::failures(&deliver, std::slice::from_ref(&record)).await.is_empty() {}
    sockets.refuse(|_| false);
}

/// Batches of the queues' consumers of which one group is done, one fails and one takes long.
pub async fn groups_that_fail_or_hang(world: &World, services: &[Proxy; 4]) {
    let dynamodb = &services[0];
    let owner = world.user("owner").await;
    let chats = [owner.start_chat().await, owner.start_chat().await, owner.start_chat().await];
    let [_, failing, slow] = chats.clone();
    dynamodb.inject(move |call| match &call.body {
        body if body.contains(&failing) => Fault::Refuse,
        body if body.contains(&slow) => Fault::Slow(Duration::from_millis(600)),
        _ => Fault::None,
    });
    let queued = |uri: &String| json!({"uri": uri, "to": {"shard": 0}, "frame": "{}", "written": null});
    for function in ["fanout", "deliver"] {
        let records: Vec<Value> = chats.iter().map(|uri| batches::record(uri, uri, 1, &queued(uri))).collect();
        let function = batches::by_hand(world, services, function, function);
        assert_eq!(batches::failures(&function, &records).await, [chats[1].as_str()]);
    }
    dynamodb.inject(slow_writes);
}

/// The erasure of an account that sockets and tokens are left of, a step that fails, and a message that is no account.
pub async fn erasures(world: &World, services: &[Proxy; 4]) {
    let dynamodb = &services[0];
    let (user, other) = (world.user("erased").await, world.user("other").await);
    let uri = other.start_chat().await;
    user.join(&uri).await;
    let socket = user.subscribed(&uri).await;
    user.leave_stale_connection(&uri).await;
    user.leave_stale_connection("0123456789abcde").await;
    let text = |text: String| AttributeValue::S(text);
    let deletion = world.dynamodb().put_item().table_name(world.variable("TABLE_NAME"));
    let deletion = deletion.item("pk", text(format!("USER#{}", user.id))).item("sk", text("DELETION".to_owned()));
    let deletion = deletion.item("date", text("2026-01-01T00:00:00.000000Z".to_owned()));
    deletion.item("messages", text("keep".to_owned())).send().await.unwrap();

    let erase = &batches::by_hand(world, services, "erase-accounts", "erase-accounts");
    let step = async |id: &str, body: Value| {
        let record = batches::record(id, &user.id.to_string(), 1, &body);
        batches::failures(erase, &[record]).await
    };
    let request = json!({"user_id": user.id});
    dynamodb.refuse(|call| call.body.contains("DELETION"));
    assert_eq!(step("failing", request.clone()).await, ["failing"]);
    dynamodb.inject(slow_writes);
    while !world.items(&format!("USER#{}", user.id)).await.is_empty() {
        assert!(step(&unique("step"), request.clone()).await.is_empty());
    }
    socket.closed().await;
    assert!(step(&unique("poison"), json!("nobody")).await.is_empty());
}

/// Transactions take a while, so that those of a crowd overlap and most of them lose their race. Subscribing to several
/// chats takes so long that the connection is dropped meanwhile.
pub fn slow_writes(call: &Call) -> Fault {
    match call.operation.as_str() {
        "TransactWriteItems" => Fault::Slow(Duration::from_millis(30)),
        "BatchWriteItem" if is_registration_of_several(call) => Fault::Slow(Duration::from_secs(1)),
        _ => Fault::None,
    }
}
