//! The list of chats, read markers and unread counts.

use std::{collections::BTreeMap, ops::RangeInclusive};

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{User, World};

async fn chats(user: &User<'_>, query: &str) -> (Vec<Value>, Option<String>) {
    let (status, body) = user.get(&format!("/api/chats/{query}")).await;
    assert_eq!(status, 200, "{body}");
    let next = body["next"].as_str().map(|url| url[url.find('?').unwrap()..].to_owned());
    (body["chats"].as_array().unwrap().clone(), next)
}

async fn mark(user: &User<'_>, uri: &str, id: u64) -> (StatusCode, Value) {
    user.call(Method::PUT, &format!("/api/chats/{uri}/read/"), json!({ "id": id })).await
}

fn uris(chats: &[Value]) -> Vec<&str> {
    chats.iter().map(|chat| chat["uri"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_listed_by_latest_activity_in_pages() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    assert_eq!(chats(&anna, "").await, (vec![], None));
    let (first, second, third) = (anna.start_chat().await, ben.start_chat().await, anna.start_chat().await);
    anna.join(&second).await;
    ben.join(&first).await;
    ben.post(&first, "hello").await;
    let (list, next) = chats(&anna, "").await;
    assert_eq!((uris(&list), next), (vec![first.as_str(), &second, &third], None));
    let shown = &list[0];
    assert_eq!(
        (&shown["owner"]["id"], &shown["member_count"], &shown["last_id"]),
        (&json!(anna.id), &json!(2), &json!(2))
    );
    assert_eq!((&shown["unread"], &shown["unread_more"], &shown["read_id"]), (&json!(1), &json!(false), &json!(0)));
    let last = &shown["last_message"];
    assert_eq!((&last["id"], &last["message"], &last["user"]["id"]), (&json!(2), &json!("hello"), &json!(ben.id)));
    assert_eq!((&list[2]["last_message"], &list[2]["unread"]), (&Value::Null, &json!(0)));

    let (mut seen, mut query) = (Vec::new(), Some("?limit=1".to_owned()));
    while let Some(page) = query {
        let (list, next) = chats(&anna, &page).await;
        assert_eq!(list.len(), 1);
        seen.extend(list);
        query = next;
    }
    assert_eq!(seen, list);
    for wrong in ["?limit=0", "?limit=101", "?cursor=x", "?cursor=5-x"] {
        assert_eq!(anna.get(&format!("/api/chats/{wrong}")).await.0, 400, "{wrong}");
    }
    // A former member does not see the chat any more; the others see the new number of members.
    let path = format!("/api/chats/{first}/members/{}/", ben.username);
    assert_eq!(ben.call(Method::DELETE, &path, Value::Null).await.0, 204);
    assert_eq!(uris(&chats(&ben, "").await.0), [&second]);
    assert_eq!(chats(&anna, "").await.0[0]["member_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_messages_of_others_after_the_marker() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let unread = async |user| {
        let (list, _) = chats(user, "").await;
        (list[0]["unread"].as_u64().unwrap(), list[0]["unread_more"].as_bool().unwrap())
    };
    anna.post(&uri, "my own does not count").await;
    let id = ben.post(&uri, "one").await;
    ben.post(&uri, "two").await;
    assert_eq!((unread(&anna).await, unread(&ben).await), ((2, false), (1, false)));
    assert_eq!(mark(&anna, &uri, id).await.1["read_id"], id);
    assert_eq!(unread(&anna).await, (1, false));
    stream::iter((0..97).map(|_| ben.post(&uri, "more"))).buffer_unordered(4).collect::<Vec<_>>().await;
    assert_eq!(unread(&anna).await, (98, false));
    ben.post(&uri, "ninety-nine").await;
    assert_eq!(unread(&anna).await, (99, false));
    let last = ben.post(&uri, "a hundred").await;
    assert_eq!(unread(&anna).await, (99, true));
    mark(&anna, &uri, last).await;
    assert_eq!(unread(&anna).await, (0, false));
}

/// The counts, the deletions and the log scan agree with the history, after any sequence of events.
#[tokio::test(flavor = "multi_thread")]
async fn unread_counts_agree_with_the_history() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    anna.post(&uri, "before Ben").await;
    ben.join(&uri).await;
    let path = format!("/api/chats/{uri}/");
    let agree = async |what: &str| {
        let history = anna.history(&uri).await;
        for user in [&anna, &ben] {
            let chat = &chats(user, "").await.0[0];
            let read_id = chat["read_id"].as_u64().unwrap();
            let is_unread = |message: &&Value| {
                message["id"].as_u64().unwrap() > read_id
                    && message["user"]["id"] != user.id
                    && message["delete_date"].is_null()
            };
            let expected = history.iter().filter(is_unread).count();
            assert_eq!((&chat["unread"], &chat["unread_more"]), (&json!(expected), &json!(false)), "{what}: {chat}");
        }
    };
    agree("at first").await;
    let mut ids = Vec::new();
    for round in 0..4 {
        for (user, text) in [(&anna, "a"), (&ben, "b"), (&anna, "c"), (&anna, "d"), (&ben, "e")] {
            ids.push(user.post(&uri, text).await);
        }
        agree("posted").await;
        let back = ids[ids.len() - 2 - round];
        assert_eq!(mark(&ben, &uri, back).await.0, 200);
        agree("marked within the log").await;
        let last = *ids.last().unwrap();
        assert_eq!(mark(&anna, &uri, last).await.0, 200);
        ids.push(anna.post(&uri, "f").await);
        agree("marked at the end").await;
        assert_eq!(mark(&ben, &uri, *ids.last().unwrap()).await.0, 200);
        ids.push(anna.post(&uri, "g").await);
        // A message that was read, and one that was not.
        for id in [ids[2 + round], *ids.last().unwrap()] {
            assert_eq!(anna.call(Method::DELETE, &format!("{path}messages/{id}/"), Value::Null).await.0, 204);
            agree("deleted").await;
        }
        ids.pop();
    }
    // Leaving and joining again starts over.
    assert_eq!(ben.call(Method::DELETE, &format!("{path}members/{}/", ben.username), Value::Null).await.0, 204);
    anna.post(&uri, "while Ben was away").await;
    ben.join(&uri).await;
    anna.post(&uri, "back").await;
    agree("back").await;
}

/// However many entries are between two messages, no request reads all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_scanned_in_parts() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let first = anna.post(&uri, "first").await;
    let last = first + 6000;
    reactions(&world, &uri, &anna, first + 1..=last).await;
    world.set(&uri, "last_id", last).await;
    let end = anna.post(&uri, "end").await;

    for (start, rel) in [("", "previous"), ("?after=0", "next")] {
        let (mut ids, mut pages) = (Vec::new(), Vec::new());
        let mut path = Some(format!("/api/chats/{uri}/messages/{start}"));
        while let Some(page) = path {
            let (status, body) = anna.get(&page).await;
            assert_eq!(status, 200, "{body}");
            let messages = body["messages"].as_array().unwrap();
            ids.extend(messages.iter().map(|message| message["id"].as_u64().unwrap()));
            pages.push(messages.len());
            path = body[rel].as_str().map(|url| url[url.find("/api").unwrap()..].to_owned());
        }
        ids.sort_unstable();
        assert_eq!((ids, pages), (vec![first, end], vec![1, 1]), "{rel}");
    }

    let unread = async || {
        let (list, _) = chats(&ben, "").await;
        (list[0]["unread"].as_u64().unwrap(), list[0]["unread_more"].as_bool().unwrap())
    };
    assert_eq!(unread().await, (2, false), "both are counted, however much is between them");
    mark(&ben, &uri, first).await;
    assert_eq!(unread().await, (0, true), "within the log, what is beyond a thousand entries is not counted");
    mark(&ben, &uri, end - 900).await;
    assert_eq!(unread().await, (1, false));
    mark(&ben, &uri, end).await;
    anna.post(&uri, "one more").await;
    assert_eq!(unread().await, (1, false));
}

/// Writes entries directly into a log, marked as imported so that they are not published.
async fn reactions(world: &World, uri: &str, user: &User<'_>, ids: RangeInclusive<u64>) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let entry = |id: u64| {
        let item = [
            ("pk", text(&format!("LOG#{uri}"))),
            ("sk", text(&format!("{id:016}"))),
            ("type", text("reacted")),
            ("user_id", AttributeValue::N(user.id.to_string())),
            ("create_date", text("2026-01-01T00:00:00.000000Z")),
            ("imported", AttributeValue::Bool(true)),
        ];
        let item = item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
    };
    world.write(ids.map(entry).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_moves_forward_only_and_is_broadcast() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    for n in 0..4 {
        anna.post(&uri, &n.to_string()).await;
    }
    let mut subscriber = anna.subscribed(&uri).await;
    let user = anna.get(&format!("/api/chats/{uri}/")).await.1["members"][1].clone();
    let response = |id: u64| json!({"type": "read", "uri": uri, "user": user, "read_id": id});
    let event = |id: u64| json!({"type": "read", "uri": uri, "read": {ben.id.to_string(): id}});
    assert_eq!(mark(&ben, &uri, 3).await, (StatusCode::OK, response(3)));
    assert_eq!(subscriber.next_of("read").await, event(3));
    // A marker at or behind its position does not move, and no event is sent.
    assert_eq!((mark(&ben, &uri, 2).await.1, mark(&ben, &uri, 3).await.1), (response(3), response(3)));
    // On a subscribed socket, the event is the only answer.
    let mut subscribed = ben.subscribed(&uri).await;
    subscribed.send(&json!({"action": "read", "uri": uri, "id": 4})).await;
    assert_eq!(subscriber.next_of("read").await, event(4));
    anna.post(&uri, "after the event").await;
    let seen = subscribed.until("after the event").await;
    assert_eq!(seen.into_iter().filter(|object| object["type"] == "read").collect::<Vec<_>>(), [event(4)]);
    // Where no event follows, the answer is direct.
    subscribed.send(&json!({"action": "read", "uri": uri, "id": 0})).await;
    assert_eq!(subscribed.next_of("read").await, event(4));
    let mut socket = ben.socket().await;
    assert_eq!(socket.ask(&json!({"action": "read", "uri": uri, "id": 5})).await, event(5));
    assert_eq!(socket.ask(&json!({"action": "read", "uri": uri, "id": 4})).await, event(5));
    assert_eq!(subscriber.next_of("read").await, event(5));
    for (id, status) in [(json!(7), 400), (json!(-1), 400), (json!("x"), 400), (json!(1.5), 400), (Value::Null, 400)] {
        let (code, body) = ben.call(Method::PUT, &format!("/api/chats/{uri}/read/"), json!({ "id": id })).await;
        assert_eq!((code.as_u16(), body["id"].is_array()), (status, true), "{body}");
    }
    let rejected = socket.ask(&json!({"action": "read", "uri": uri, "id": 7})).await;
    assert_eq!((&rejected["type"], &rejected["status"]), (&json!("error"), &json!(400)));

    // A client that was not connected sees it in the chat, or after subscribing.
    let markers = json!({anna.id.to_string(): 0, ben.id.to_string(): 5});
    assert_eq!(anna.get(&format!("/api/chats/{uri}/")).await.1["read"], markers);
    assert_eq!(anna.socket().await.subscribe(&uri, 0).await["read"], markers);
}

/// All markers that move within a few seconds are one event, whose size grows with the members and whose number does not.
#[tokio::test(flavor = "multi_thread")]
async fn reading_costs_at_most_three_frames_per_message_and_socket() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    let mut users = vec![owner];
    for _ in 0..9 {
        let user = world.user("member").await;
        user.join(&uri).await;
        users.push(user);
    }
    let mut sockets = Vec::new();
    for user in &users {
        sockets.push(user.subscribed(&uri).await);
    }
    for socket in &mut sockets {
        loop {
            let object = socket.next_of_any().await;
            assert_ne!(object["type"], "read", "joining moves no marker: {object}");
            if object["type"] == "online" && object["user"]["id"] == users[9].id {
                break;
            }
        }
        socket.frames = 0;
    }
    let mut last = 0;
    for author in &users {
        last = author.post(&uri, "hello").await;
    }
    // Each member reads each message on arrival, until all know that all have read all of them.
    let frames = join_all(sockets.iter_mut().map(async |socket| {
        let mut markers: BTreeMap<String, u64> = BTreeMap::new();
        while markers.len() < users.len() || markers.values().any(|id| *id < last) {
            let object = socket.next_of_any().await;
            match object["type"].as_str().unwrap() {
                "message" => socket.send(&json!({"action": "read", "uri": uri, "id": object["id"]})).await,
                "read" => {
                    for (user, id) in object["read"].as_object().unwrap() {
                        let marker = markers.entry(user.clone()).or_default();
                        *marker = id.as_u64().unwrap().max(*marker);
                    }
                }
                _ => {}
            }
        }
        socket.frames
    }))
    .await;
    assert!(frames.iter().all(|frames| *frames <= 3 * users.len()), "{frames:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_markers_end_at_the_highest() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    for n in 0..8 {
        anna.post(&uri, &n.to_string()).await;
    }
    let answers = join_all((1..=8).map(|id| mark(&anna, &uri, id))).await;
    assert!(answers.iter().all(|(status, body)| *status == 200 && body["read_id"].as_u64() <= Some(8)), "{answers:?}");
    assert_eq!(chats(&anna, "").await.0[0]["read_id"], 8);
}
