//! Subscribing to many chats in one frame, as clients do after a reconnect.

use std::{collections::HashMap, sync::OnceLock};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{Socket, User, World, eventually},
};

async fn chats(user: &User<'_>, count: usize) -> Vec<String> {
    stream::iter((0..count).map(|_| user.start_chat())).buffer_unordered(8).collect().await
}

fn ids(subscribed: &Value) -> Vec<u64> {
    subscribed["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_chats_are_subscribed_in_one_frame() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let (quiet, missed, strange) = (anna.start_chat().await, anna.start_chat().await, ben.start_chat().await);
    for message in ["one", "two"] {
        anna.post(&missed, message).await;
    }
    let mut socket = anna.socket().await;
    let unknown = "0123456789abcde";
    let asked = [(quiet.as_str(), 0), (unknown, 0), (&missed, 1), (&strange, 0), ("nope", 0)];
    let answers = socket.subscribe_to_all(&asked).await;
    let alone = json!({
        "type": "subscribed", "uri": quiet, "last_id": 0, "recovered": true, "entries": [],
        "read": {anna.id.to_string(): 0}, "online": [anna.id],
    });
    assert_eq!(answers[0], alone);
    assert_eq!(anna.socket().await.subscribe(&quiet, 0).await, alone, "the same as in a separate frame");
    assert_eq!((ids(&answers[2]), &answers[2]["recovered"]), (vec![2], &json!(true)));
    let error = |status: u16, detail: &str, uri: &str| json!({"type": "error", "action": "subscribe", "status": status, "detail": detail, "uri": uri});
    assert_eq!(answers[1], error(404, "Not found.", unknown));
    assert_eq!((&answers[3]["status"], &answers[3]["uri"]), (&json!(403), &json!(strange)));
    assert_eq!(answers[4], error(404, "Not found.", "nope"));
    // The error of one chat does not fail the others.
    for uri in [&quiet, &missed] {
        anna.post(uri, "live").await;
        assert_eq!(socket.until("live").await.last().unwrap()["uri"], **uri);
    }
}

/// For many chats, memberships are read in another way than for one.
#[tokio::test(flavor = "multi_thread")]
async fn among_many_chats_only_those_of_members_are_subscribed() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let own = chats(&anna, 30).await;
    let (strange, left, unknown) = (ben.start_chat().await, ben.start_chat().await, "0123456789abcde".to_owned());
    anna.join(&left).await;
    let path = format!("/api/chats/{left}/members/{}/", anna.username);
    assert_eq!(anna.call(Method::DELETE, &path, Value::Null).await.0, 204);
    let asked = own.iter().chain([&strange, &left, &unknown]).map(|uri| (uri.as_str(), 0)).collect::<Vec<_>>();
    let answers = anna.socket().await.subscribe_to_all(&asked).await;
    let (subscribed, rejected) = answers.split_at(own.len());
    assert!(subscribed.iter().all(|answer| answer["type"] == "subscribed"), "{subscribed:?}");
    let statuses: Vec<&Value> = rejected.iter().map(|answer| &answer["status"]).collect();
    assert_eq!(statuses, [&json!(403), &json!(403), &json!(404)]);
    for uri in [&strange, &left, &unknown] {
        assert!(world.items(&format!("SUBSCRIBERS#{uri}")).await.is_empty());
    }
}

/// Needs a separate laptop cloud, behind a proxy that delays the writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_is_left_during_the_registration_is_not_subscribed() {
    for operation in ["UpdateItem", "BatchWriteItem"] {
        let (world, dynamodb, _) = Proxy::world().await;
        let (anna, ben) = (world.user("anna").await, world.user("ben").await);
        let (own, left) = (chats(&anna, 30).await, ben.start_chat().await);
        anna.join(&left).await;
        let mut socket = anna.socket().await;
        let gate = dynamodb.hold(move |call| call.caller == "ws-message" && call.operation == operation);
        let asked: Vec<Value> = [&left].into_iter().chain(&own).map(|uri| json!({ "uri": uri })).collect();
        socket.send(&json!({"action": "subscribe", "chats": asked})).await;
        gate.reached().await;
        let path = format!("/api/chats/{left}/members/{}/", anna.username);
        assert_eq!(anna.call(Method::DELETE, &path, Value::Null).await.0, 204);
        gate.open();
        let answers = socket.next_of("subscriptions").await["chats"].clone();
        let failed: Vec<&Value> = answers.as_array().unwrap().iter().filter(|one| one["type"] == "error").collect();
        assert_eq!(failed.iter().map(|one| &one["status"]).collect::<Vec<_>>(), [&json!(403)], "{operation}");
        assert!(world.items(&format!("SUBSCRIBERS#{left}")).await.is_empty(), "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_lists_of_chats_get_an_error() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let many: Value = (0..101).map(|n| json!({"uri": format!("{n:015x}")})).collect();
    for chats in [json!([]), many, json!("x"), json!([5]), json!([{"uri": 5}]), json!([{"uri": uri}, {"uri": uri}])] {
        let error = socket.ask(&json!({"action": "subscribe", "chats": chats})).await;
        let seen = (&error["type"], &error["action"], &error["status"]);
        assert_eq!(seen, (&json!("error"), &json!("subscribe"), &json!(400)), "{chats}: {error}");
        assert!(error["detail"].as_str().unwrap().starts_with("chats: "), "{error}");
    }
}

/// A socket has at most a hundred subscriptions, also by concurrent frames.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_beyond_the_limit_are_rejected() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let chats = chats(&user, 103).await;
    let mut socket = user.socket().await;
    let (first, rest) = chats.split_at(60);
    for uris in [first, rest] {
        let chats: Vec<Value> = uris.iter().map(|uri| json!({ "uri": uri })).collect();
        socket.send(&json!({"action": "subscribe", "chats": chats})).await;
    }
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.extend(socket.next_of("subscriptions").await["chats"].as_array().unwrap().clone());
    }
    let rejected: Vec<&Value> = answers.iter().filter(|answer| answer["type"] == "error").collect();
    assert_eq!((answers.len(), rejected.len()), (103, 3));
    assert!(rejected.iter().all(|answer| answer["status"] == 400), "{rejected:?}");
    let uri = rejected[0]["uri"].as_str().unwrap();
    assert_eq!(socket.ask(&json!({"action": "subscribe", "uri": uri})).await["status"], 400);
    let known = answers.iter().find(|answer| answer["type"] == "subscribed").unwrap();
    assert_eq!(socket.subscribe(known["uri"].as_str().unwrap(), 0).await["type"], "subscribed", "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_left_to_http() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let chats = chats(&user, 8).await;
    for uri in &chats {
        user.post(uri, &"か".repeat(2000)).await;
    }
    user.post(&chats[0], "one more").await;
    let asked: Vec<(&str, u64)> = chats.iter().map(|uri| (uri.as_str(), 0)).collect();
    let answers = user.socket().await.subscribe_to_all(&asked).await;
    // Five of 6,000 bytes fit into a frame; the chat that needs most is not among them.
    let recovered = answers.iter().filter(|answer| answer["recovered"] == true).count();
    assert_eq!((answers.len(), recovered, &answers[0]["recovered"]), (8, 5, &json!(false)));
    for answer in answers.iter().filter(|answer| answer["recovered"] == false) {
        assert!(ids(answer).is_empty() && answer["last_id"].as_u64() > Some(0), "{answer}");
    }
}

/// Twenty clients come back at once, each with 81 chats. Every fourth recovers what it missed, too: with all of them, a
/// debug build on two busy cores needs longer than a function has. The emulator gets fewer: it is slow.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_sockets_subscribe_to_81_chats_at_once() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let chats = chats(&user, 81).await;
    let missed: Vec<&String> = chats.iter().step_by(9).collect();
    stream::iter(&missed)
        .for_each_concurrent(4, async |uri| {
            user.post(uri, "missed").await;
        })
        .await;
    let asked: Vec<(&str, u64)> = chats.iter().map(|uri| (uri.as_str(), 0)).collect();
    let count = if world.emulator() { 4 } else { 20 };
    let mut sockets: Vec<Socket> = stream::iter((0..count).map(|_| user.socket())).buffer_unordered(4).collect().await;
    let recovers = |place: usize| place.is_multiple_of(4);
    let answers = sockets.iter_mut().enumerate().map(async |(place, socket)| match recovers(place) {
        true => socket.subscribe_to_all(&asked).await,
        false => {
            let chats: Vec<Value> = chats.iter().map(|uri| json!({ "uri": uri })).collect();
            socket.subscribe_to_each(chats).await
        }
    });
    let answers = join_all(answers).await;
    for (place, answers) in answers.iter().enumerate() {
        let failed: Vec<&Value> = answers.iter().filter(|answer| answer["type"] != "subscribed").collect();
        assert!(failed.is_empty(), "{failed:?}");
        for (answer, uri) in answers.iter().zip(&chats) {
            let expected = if recovers(place) && missed.contains(&uri) { vec![1] } else { vec![] };
            assert_eq!((&answer["uri"], &answer["recovered"], ids(answer)), (&json!(uri), &json!(true), expected));
        }
    }
    for uri in [&chats[0], &chats[80]] {
        user.post(uri, "live").await;
        for socket in &mut sockets {
            assert_eq!(socket.until("live").await.last().unwrap()["uri"], **uri);
        }
    }
}

/// What removes a connection's subscriptions while they are registered, removes these, too. Needs a separate laptop cloud,
/// behind a proxy that delays writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_is_logged_out_while_it_subscribes_is_not_subscribed() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let chats = chats(&user, 2).await;
    let mut socket = user.socket().await;
    let gate = dynamodb.hold(|call| call.caller == "ws-message" && call.operation == "BatchWriteItem");
    let asked: Vec<Value> = chats.iter().map(|uri| json!({ "uri": uri })).collect();
    socket.send(&json!({"action": "subscribe", "chats": asked})).await;
    gate.reached().await;
    assert_eq!(user.call(Method::POST, "/auth/token/logout/", Value::Null).await.0, 204);
    let written = dynamodb.count_of("ws-message", "TransactWriteItems");
    gate.open();
    // The connection is gone, so each of the new subscribers is checked and deleted.
    eventually("the registration was undone", async || {
        dynamodb.count_of("ws-message", "TransactWriteItems") == written + chats.len()
    })
    .await;
    for uri in &chats {
        eventually("there is no subscriber", async || world.items(&format!("SUBSCRIBERS#{uri}")).await.is_empty())
            .await;
    }
}

/// A function that is cut off while it registers a subscription leaves a subscriber that no connection names.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_completes_an_interrupted_registration() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    user.leave_orphaned_subscriber(&uri).await;
    let subscribers = async || world.items(&format!("SUBSCRIBERS#{uri}")).await.len();
    eventually("only the real one is left", async || subscribers().await == 1).await;
    user.post(&uri, "live").await;
    socket.until("live").await;
}

/// A function that is cut off between its two writes leaves a name without a subscriber.
#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_removes_a_name_without_a_subscriber() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let connection = connection_item(&world, &user).await;
    let subscribers = format!("SUBSCRIBERS#{uri}");
    for subscriber in world.items(&subscribers).await {
        world.delete(&subscribers, subscriber["sk"].as_s().unwrap()).await;
    }
    assert_eq!(connection["uris"].as_ss().unwrap(), std::slice::from_ref(&uri));
    let answer = socket.ask(&json!({"action": "unsubscribe", "uri": uri})).await;
    assert_eq!(answer, json!({"type": "unsubscribed", "uri": uri}));
    assert!(!connection_item(&world, &user).await.contains_key("uris"));
    assert_eq!(socket.subscribe(&uri, 0).await["type"], "subscribed", "again");
    assert_eq!(world.items(&subscribers).await.len(), 1);
}

/// Frames of one socket are handled in parallel. Needs a separate laptop cloud, behind a proxy that delays writes.
#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_ends_a_subscription_that_is_being_registered() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let gate = dynamodb.hold(|call| call.caller == "ws-message" && call.operation == "BatchWriteItem");
    socket.send(&json!({"action": "subscribe", "uri": uri})).await;
    gate.reached().await;
    socket.send(&json!({"action": "unsubscribe", "uri": uri})).await;
    assert_eq!(socket.next_of("unsubscribed").await["uri"], uri);
    gate.open();
    let error = socket.next_of("error").await;
    assert_eq!((&error["action"], &error["uri"]), (&json!("subscribe"), &json!(uri)), "{error}");
    assert!(world.items(&format!("SUBSCRIBERS#{uri}")).await.is_empty());
    assert!(!connection_item(&world, &user).await.contains_key("uris"));
}

/// The item of a user's only connection.
async fn connection_item(world: &World, user: &User<'_>) -> HashMap<String, AttributeValue> {
    let items = world.items(&format!("USER#{}", user.id)).await;
    let id = items.iter().find_map(|item| item["sk"].as_s().ok()?.strip_prefix("CONNECTION#")).unwrap();
    world.items(&format!("CONNECTION#{id}")).await.remove(0)
}

/// Needs a separate laptop cloud, behind a proxy that fails all transactions on one of the orphans.
#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_cannot_be_removed_does_not_keep_the_others() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let subscribers = format!("SUBSCRIBERS#{uri}");
    // The first that is tried fails in every attempt.
    let failing = OnceLock::new();
    dynamodb.refuse(move |call| {
        let orphan = || call.body.split("orphan=").nth(1)?.split('"').next().map(str::to_owned);
        let is_removal = call.caller == "reconcile" && call.operation == "TransactWriteItems";
        is_removal && orphan().is_some_and(|orphan| *failing.get_or_init(|| orphan.clone()) == orphan)
    });
    user.leave_orphaned_subscribers(&uri, 4).await;
    eventually("only the failing one is left", async || world.items(&subscribers).await.len() == 1).await;
    dynamodb.refuse(|_| false);
    eventually("it is removed by a retry", async || world.items(&subscribers).await.is_empty()).await;
}
