//! Editing and deleting messages, replying and reacting to them: over HTTP and over sockets, live and after a reconnect.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    proxy::Proxy,
    world::{User, World, answer},
};

/// Two users in a chat.
async fn pair(world: &World) -> (User<'_>, User<'_>, String) {
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    (anna, ben, uri)
}

fn path(uri: &str, id: u64) -> String {
    format!("/api/chats/{uri}/messages/{id}/")
}

async fn edit(user: &User<'_>, uri: &str, id: u64, message: &str) -> (StatusCode, Value) {
    user.call(Method::PATCH, &path(uri, id), json!({ "message": message })).await
}

async fn delete(user: &User<'_>, uri: &str, id: u64) -> StatusCode {
    user.call(Method::DELETE, &path(uri, id), Value::Null).await.0
}

async fn react(user: &User<'_>, method: Method, uri: &str, id: u64, emoji: &str) -> (StatusCode, Value) {
    user.call(method, &format!("{}reactions/{emoji}/", path(uri, id)), Value::Null).await
}

async fn message(user: &User<'_>, uri: &str, id: u64) -> Value {
    user.history(uri).await.into_iter().find(|message| message["id"] == id).unwrap()
}

async fn last_id(user: &User<'_>, uri: &str) -> u64 {
    user.get(&format!("/api/chats/{uri}/")).await.1["last_id"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_author_can_edit_a_message() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let id = ben.post(&uri, "helo").await;
    let mut socket = anna.subscribed(&uri).await;

    let (status, edited) = edit(&ben, &uri, id, "hello").await;
    assert_eq!((status.as_u16(), &edited["message"], &edited["id"]), (200, &json!("hello"), &json!(id)), "{edited}");
    assert!(edited["edit_date"].is_string() && edited["delete_date"].is_null(), "{edited}");
    assert_eq!(message(&anna, &uri, id).await, edited);
    let event = socket.next_of("edited").await;
    let user = &edited["user"];
    let expected = json!({"type": "edited", "uri": uri, "id": id + 1, "of": id, "message": "hello", "user": user,
        "create_date": edited["edit_date"]});
    assert_eq!(event, expected);

    // Repeating the edit changes nothing.
    assert_eq!(edit(&ben, &uri, id, "hello").await, (StatusCode::OK, edited.clone()));
    assert_eq!(last_id(&anna, &uri).await, id + 1);

    // A client that subscribes later receives the message in its current state, and the `edited` entry.
    let recovered = ben.socket().await.subscribe(&uri, id - 1).await;
    let entries = recovered["entries"].as_array().unwrap();
    assert_eq!((&entries[0]["message"], &entries[0]["edit_date"]), (&json!("hello"), &edited["edit_date"]));
    assert_eq!(entries[1], event);

    for (user, id, message, expected) in [
        (&anna, id, "the owner may delete it, not edit it", 403),
        (&ben, 1, "that was my joining", 404),
        (&ben, id + 1, "that was my edit", 404),
        (&ben, id + 2, "nothing yet", 404),
        (&ben, 1000, "nothing", 404),
        (&ben, id, "", 400),
        (&ben, id, &"x".repeat(2001), 400),
    ] {
        let (status, body) = edit(user, &uri, id, message).await;
        assert_eq!(status, expected, "{message:.40}: {body}");
    }
    for id in ["x", "-1", "99999999999999999999"] {
        let path = format!("/api/chats/{uri}/messages/{id}/");
        assert_eq!(ben.call(Method::PATCH, &path, json!({"message": "m"})).await.0, 404, "{id}");
    }
    assert_eq!(message(&anna, &uri, id).await, edited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_message_leaves_a_tombstone() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let (first, second) = (ben.post(&uri, "a secret").await, ben.post(&uri, "another secret").await);
    let mine = anna.post(&uri, "mine").await;
    assert_eq!(edit(&ben, &uri, first, "no secret").await.0, 200);
    assert_eq!(edit(&ben, &uri, first, "the secret").await.0, 200);
    assert_eq!(react(&anna, Method::PUT, &uri, first, "👍").await.0, 200);
    let unread = async || anna.get("/api/chats/").await.1["chats"][0]["unread"].clone();
    assert_eq!(unread().await, 2);
    let mut socket = anna.subscribed(&uri).await;
    let before = last_id(&anna, &uri).await;

    assert_eq!(delete(&ben, &uri, mine).await, 403);
    assert_eq!(delete(&ben, &uri, first).await, 204);
    let event = socket.next_of("deleted").await;
    assert_eq!((&event["id"], &event["of"]), (&json!(before + 1), &json!(first)));
    assert_eq!(event["user"]["id"], ben.id);
    let tombstone = message(&anna, &uri, first).await;
    assert_eq!((&tombstone["message"], &tombstone["reactions"]), (&json!(""), &json!([])), "{tombstone}");
    assert_eq!((&tombstone["delete_date"], &tombstone["edit_date"]), (&event["create_date"], &Value::Null));
    assert_eq!(unread().await, 1);
    // Deleting is idempotent, for everyone who may delete the message.
    assert_eq!(
        (delete(&ben, &uri, first).await, delete(&anna, &uri, first).await),
        (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT)
    );
    assert_eq!(last_id(&anna, &uri).await, before + 1);
    // The owner may delete messages of others, and is the user of the event.
    assert_eq!(delete(&anna, &uri, second).await, 204);
    assert_eq!(socket.next_of("deleted").await["user"]["id"], anna.id);

    // No text is left, neither in the message nor in its edits, and the message cannot be changed any more.
    let log = format!("{:?}", world.items(&format!("LOG#{uri}")).await);
    assert!(!log.contains("secret"), "{log}");
    let recovered = ben.socket().await.subscribe(&uri, 0).await;
    assert_eq!((&recovered["recovered"], recovered.to_string().contains("secret")), (&json!(true), false));
    let again =
        recovered["entries"].as_array().unwrap().iter().filter(|entry| entry["of"] == first || entry["id"] == first);
    let texts: Vec<&Value> = again.filter(|entry| entry["type"] != "deleted").map(|entry| &entry["message"]).collect();
    assert_eq!(texts, [&json!(""), &json!(""), &json!(""), &Value::Null], "the message, two edits, and a reaction");
    assert_eq!(edit(&ben, &uri, first, "back").await.0, 404);
    assert_eq!(react(&ben, Method::PUT, &uri, first, "👍").await.0, 404);
    assert_eq!(
        (delete(&ben, &uri, 1).await, delete(&ben, &uri, last_id(&ben, &uri).await + 1).await),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    // It is a tombstone as the last message in the list of chats, too.
    assert_eq!(delete(&anna, &uri, mine).await, 204);
    assert_eq!(anna.get("/api/chats/").await.1["chats"][0]["last_message"]["message"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_refers_to_a_message_in_the_same_chat() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let other = anna.start_chat().await;
    let id = anna.post(&uri, "shall we?").await;
    let mut socket = anna.subscribed(&uri).await;
    let post = async |reply_to: Value| {
        let body = json!({"message": "yes", "reply_to": reply_to});
        ben.call(Method::POST, &format!("/api/chats/{uri}/messages/"), body).await
    };
    let (status, answer) = post(json!(id)).await;
    assert_eq!((status.as_u16(), &answer["reply_to"]), (200, &json!(id)), "{answer}");
    assert_eq!(socket.until("yes").await.pop().unwrap()["reply_to"], id);
    let reply = answer["id"].as_u64().unwrap();
    assert_eq!(message(&anna, &uri, reply).await["reply_to"], id);
    assert_eq!(message(&anna, &uri, id).await["reply_to"], Value::Null);
    // In a form, numbers are text.
    let form = ben.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
    let form = form.form(&[("message", "in a form"), ("reply_to", &id.to_string())]).send().await.unwrap();
    assert_eq!(form.json::<Value>().await.unwrap()["reply_to"], id);
    assert_eq!(post(Value::Null).await.1["reply_to"], Value::Null);

    anna.post(&other, "elsewhere").await;
    for wrong in [json!(1), json!(0), json!(last_id(&anna, &uri).await + 1), json!(1000)] {
        let expected = json!({"reply_to": ["There is no such message in this chat."]});
        assert_eq!(post(wrong.clone()).await, (StatusCode::BAD_REQUEST, expected), "{wrong}");
    }
    for wrong in [json!("x"), json!(-1), json!(1.5), json!([1]), json!(true)] {
        assert_eq!(post(wrong.clone()).await.0, 400, "{wrong}");
    }
    // `reply_to` is part of the request that an idempotency key identifies.
    let mut socket = ben.socket().await;
    let frame =
        |reply_to: u64| json!({"action": "send", "uri": uri, "message": "ok", "key": "k", "reply_to": reply_to});
    let sent = socket.ask(&frame(id)).await;
    assert_eq!(sent["type"], "sent");
    assert_eq!(socket.ask(&frame(id)).await, sent);
    assert_eq!(socket.ask(&frame(reply)).await["status"], 422);
    assert_eq!(delete(&anna, &uri, id).await, 204);
    assert_eq!(post(json!(id)).await.0, 400);
    assert_eq!(message(&ben, &uri, reply).await["reply_to"], id, "a reply outlives what it replies to");
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_counted_once_for_each_member() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let id = anna.post(&uri, "good news").await;
    let mut socket = anna.subscribed(&uri).await;
    let reactions = async |user| message(user, &uri, id).await["reactions"].clone();

    let (status, shown) = react(&ben, Method::PUT, &uri, id, "👍").await;
    let expected = json!([{"emoji": "👍", "count": 1, "mine": true}]);
    assert_eq!((status.as_u16(), &shown["reactions"]), (200, &expected), "{shown}");
    assert_eq!(reactions(&anna).await, json!([{"emoji": "👍", "count": 1, "mine": false}]));
    let event = socket.next_of("reacted").await;
    let rest = json!({"user": event["user"], "create_date": event["create_date"]});
    let mut expected = json!({"type": "reacted", "uri": uri, "id": id + 1, "of": id, "emoji": "👍", "count": 1});
    expected.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    assert_eq!((&event, &event["user"]["id"]), (&expected, &json!(ben.id)));

    assert_eq!(react(&ben, Method::PUT, &uri, id, "👍").await.0, 200);
    assert_eq!(last_id(&anna, &uri).await, id + 1, "twice is once");
    react(&anna, Method::PUT, &uri, id, "👍").await;
    assert_eq!(socket.next_of("reacted").await["count"], 2);
    // Both forms of the heart are the same emoji.
    react(&anna, Method::PUT, &uri, id, "%E2%9D%A4").await;
    let mut sockets = ben.socket().await;
    let heart = json!({"action": "react", "uri": uri, "id": id, "emoji": "❤\u{fe0f}", "key": "k"});
    let done = json!({"type": "done", "action": "react", "uri": uri, "id": id, "key": "k"});
    assert_eq!(sockets.ask(&heart).await, done);
    react(&anna, Method::DELETE, &uri, id, "👍").await;
    let expected =
        json!([{"emoji": "❤\u{fe0f}", "count": 2, "mine": true}, {"emoji": "👍", "count": 1, "mine": false}]);
    assert_eq!(reactions(&anna).await, expected, "most used first");
    let event = socket.next_of("unreacted").await;
    assert_eq!((&event["emoji"], &event["count"], &event["user"]["id"]), (&json!("👍"), &json!(1), &json!(anna.id)));

    // Removing a reaction that does not exist is idempotent.
    let before = last_id(&anna, &uri).await;
    for emoji in ["👍", "🎉"] {
        assert_eq!(react(&anna, Method::DELETE, &uri, id, emoji).await, (StatusCode::NO_CONTENT, Value::Null));
    }
    assert_eq!(last_id(&anna, &uri).await, before);
    let mut remove = heart.clone();
    remove["remove"] = true.into();
    assert_eq!(sockets.ask(&remove).await, done);
    react(&anna, Method::DELETE, &uri, id, "❤").await;
    react(&ben, Method::DELETE, &uri, id, "👍").await;
    assert_eq!(reactions(&anna).await, json!([]));

    for wrong in ["x", "👍👍", "1", "%20", "thumbsup"] {
        let (status, body) = react(&ben, Method::PUT, &uri, id, wrong).await;
        assert_eq!((status.as_u16(), body), (400, json!({"emoji": ["One emoji is required."]})), "{wrong}");
    }
    for nothing in [1, last_id(&anna, &uri).await + 1, 1000] {
        assert_eq!(react(&ben, Method::PUT, &uri, nothing, "👍").await.0, 404);
        assert_eq!(react(&ben, Method::DELETE, &uri, nothing, "👍").await.0, 404);
    }
    remove["remove"] = "yes".into();
    let rejected = sockets.ask(&remove).await;
    assert_eq!(
        (&rejected["status"], &rejected["id"], &rejected["key"]),
        (&json!(400), &json!(id), &json!("k")),
        "{rejected}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_at_most_twenty_different_reactions() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let id = anna.post(&uri, "hm").await;
    let emoji: Vec<String> = (0..21).map(|n| char::from_u32(0x1F600 + n).unwrap().to_string()).collect();
    for emoji in &emoji[..20] {
        assert_eq!(react(&anna, Method::PUT, &uri, id, emoji).await.0, 200);
    }
    let expected = json!({"emoji": ["This message has too many reactions."]});
    assert_eq!(react(&ben, Method::PUT, &uri, id, &emoji[20]).await, (StatusCode::BAD_REQUEST, expected));
    assert_eq!(react(&ben, Method::PUT, &uri, id, &emoji[0]).await.0, 200, "one that is there is not another one");
    assert_eq!(react(&anna, Method::DELETE, &uri, id, &emoji[1]).await.0, 204);
    assert_eq!(react(&ben, Method::PUT, &uri, id, &emoji[20]).await.0, 200, "there is room again");
    assert_eq!(message(&anna, &uri, id).await["reactions"].as_array().unwrap().len(), 20);
}

/// The numbers of a popular message are written into the table; its item does not grow with them.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_has_at_most_a_thousand_reactions_with_one_emoji() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let id = anna.post(&uri, "popular").await;
    assert_eq!(react(&anna, Method::PUT, &uri, id, "👍").await.0, 200);
    let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
    let update = update.key("pk", AttributeValue::S(format!("LOG#{uri}")));
    let update = update.key("sk", AttributeValue::S(format!("{id:016}")));
    let update = update.update_expression("SET reaction_counts.#emoji = :count");
    let update = update.expression_attribute_names("#emoji", "👍");
    update.expression_attribute_values(":count", AttributeValue::N("999".to_owned())).send().await.unwrap();
    assert_eq!(react(&ben, Method::PUT, &uri, id, "👍").await.1["reactions"][0]["count"], 1000);
    for user in [&anna, &ben] {
        assert_eq!(react(user, Method::PUT, &uri, id, "👍").await.0, 200, "it is there already");
    }
    let carl = world.user("carl").await;
    carl.join(&uri).await;
    assert_eq!(react(&carl, Method::PUT, &uri, id, "👍").await.0, 400);
    assert_eq!(react(&ben, Method::DELETE, &uri, id, "👍").await.0, 204);
    let (status, shown) = react(&carl, Method::PUT, &uri, id, "👍").await;
    assert_eq!((status.as_u16(), &shown["reactions"]), (200, &json!([{"emoji": "👍", "count": 1000, "mine": true}])));
    let log = world.items(&format!("LOG#{uri}")).await;
    assert!(log.iter().all(|item| format!("{item:?}").len() < 2000), "an item has more than the numbers");
}

/// Under concurrency, counts are exact, and the last event describes the final state.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_reactions_edits_and_deletions_converge() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let (id, doomed) = (ben.post(&uri, "first").await, ben.post(&uri, "doomed").await);
    let crowd = join_all((0..8).map(|_| world.user("crowd"))).await;
    for user in &crowd {
        user.join(&uri).await;
    }
    let mut socket = anna.subscribed(&uri).await;
    let edits = join_all((0..4).map(|n| {
        let (ben, uri) = (&ben, &uri);
        async move { edit(ben, uri, id, &format!("edit {n}")).await.0 }
    }));
    let deletions = join_all([&anna, &ben, &ben].map(|user| delete(user, &uri, doomed)));
    let reactions = join_all(crowd.iter().map(|user| async {
        (react(user, Method::PUT, &uri, id, "👍").await.0, react(user, Method::PUT, &uri, doomed, "👍").await.0)
    }));
    let (edits, deletions, reactions) = futures_util::join!(edits, deletions, reactions);
    assert!(edits.iter().all(|status| *status == 200), "{edits:?}");
    assert!(deletions.iter().all(|status| *status == 204), "{deletions:?}");
    assert!(
        reactions.iter().all(|(live, doomed)| *live == 200 && [200, 404].contains(&doomed.as_u16())),
        "{reactions:?}"
    );
    anna.post(&uri, "the end").await;
    let event = socket.until("the end").await;
    let shown = message(&anna, &uri, id).await;
    assert_eq!(shown["reactions"], json!([{"emoji": "👍", "count": 8, "mine": false}]));
    let last = |kind: &str| event.iter().rev().find(|entry| entry["type"] == kind && entry["of"] == id).unwrap();
    assert_eq!((&last("reacted")["count"], &last("edited")["message"]), (&json!(8), &shown["message"]));
    // Delivery is at least once, so an entry may arrive twice.
    let deleted = event.iter().filter(|entry| entry["type"] == "deleted").map(|entry| entry["id"].as_u64().unwrap());
    assert_eq!(deleted.collect::<BTreeSet<u64>>().len(), 1, "{event:?}");
    assert_eq!(message(&anna, &uri, doomed).await["reactions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_rules_apply_over_sockets() {
    let world = World::any().await;
    let (anna, ben, uri) = pair(&world).await;
    let id = ben.post(&uri, "helo").await;
    let (mut own, mut others) = (ben.socket().await, anna.socket().await);
    let edit = json!({"action": "edit", "uri": uri, "id": id, "message": "hello", "key": "e1"});
    assert_eq!(own.ask(&edit).await, json!({"type": "done", "action": "edit", "uri": uri, "id": id, "key": "e1"}));
    let rejected = others.ask(&edit).await;
    let expected = json!({"type": "error", "action": "edit", "status": 403, "uri": uri, "id": id, "key": "e1",
        "detail": "Only its author can edit a message."});
    assert_eq!(rejected, expected);
    assert_eq!(message(&anna, &uri, id).await["message"], "hello");
    for (frame, status) in [
        (json!({"action": "edit", "uri": uri, "message": "no id"}), 400),
        (json!({"action": "edit", "uri": uri, "id": id}), 400),
        (json!({"action": "edit", "uri": uri, "id": 1000, "message": "x"}), 404),
        (json!({"action": "edit", "id": id, "message": "no uri"}), 400),
        (json!({"action": "delete", "uri": uri}), 400),
        (json!({"action": "delete", "uri": uri, "id": 1000}), 404),
        (json!({"action": "react", "uri": uri, "id": id}), 400),
        (json!({"action": "react", "uri": uri, "id": id, "emoji": "nope"}), 400),
        (json!({"action": "react", "uri": uri, "id": 1000, "emoji": "👍"}), 404),
    ] {
        let rejected = own.ask(&frame).await;
        assert_eq!((&rejected["type"], &rejected["status"]), (&json!("error"), &json!(status)), "{frame}: {rejected}");
    }
    let delete = json!({"action": "delete", "uri": uri, "id": id});
    assert_eq!(others.ask(&delete).await, json!({"type": "done", "action": "delete", "uri": uri, "id": id}));
    assert_eq!(message(&ben, &uri, id).await["message"], "");
}

/// Programs that listen keep no cursor, so a repeated publication must have the current state.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_does_not_publish_deleted_text() {
    let (world, _, sns) = Proxy::world().await;
    let (anna, _, uri) = pair(&world).await;
    let post = || {
        let request = anna.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
        answer(request.header("Idempotency-Key", "k").json(&json!({"message": "a secret"})))
    };
    let first = post().await;
    assert_eq!(delete(&anna, &uri, first.1["id"].as_u64().unwrap()).await, 204);
    sns.calls();
    assert_eq!(post().await, first);
    let own = sns.calls().into_iter().filter(|call| call.caller == "post-message");
    let published: Vec<String> = own.map(|call| call.body).collect();
    assert!(published.len() == 1 && published[0].contains("delete_date"), "{published:?}");
    assert!(!published[0].contains("secret"), "{published:?}");
}

/// Nothing is left of a deleted text by which it could be guessed.
#[tokio::test(flavor = "multi_thread")]
async fn idempotency_records_reveal_nothing_about_deleted_text() {
    let world = World::any().await;
    let (anna, _, uri) = pair(&world).await;
    let post = |message: &str| {
        let request = anna.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
        answer(request.header("Idempotency-Key", "k").json(&json!({ "message": message })))
    };
    let id = post("a secret").await.1["id"].as_u64().unwrap();
    assert_eq!(post("another").await.0, 422);
    let fingerprint = async || {
        let record = world.items(&format!("KEY#{uri}#{}#k", anna.id)).await;
        record[0]["fingerprint"].as_s().unwrap().clone()
    };
    let entry = async || world.items(&format!("LOG#{uri}")).await[id as usize - 1].clone();
    let salted = format!("{}a secret", entry().await["salt"].as_s().unwrap());
    assert_eq!(fingerprint().await, hex(&salted), "the salt is what makes it known");
    assert_eq!(delete(&anna, &uri, id).await, 204);
    let entry = entry().await;
    assert!(!entry.contains_key("salt") && !entry.contains_key("message"), "{entry:?}");
    assert_ne!(fingerprint().await, hex("a secret"));
    assert_eq!(post("a secret").await.1["id"], id, "the key is used up all the same");
}

fn hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
