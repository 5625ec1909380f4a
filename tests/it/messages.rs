//! Posting with idempotency keys, and reading history.

use std::collections::HashSet;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{User, World, answer};

async fn post(user: &User<'_>, uri: &str, key: &str, message: &str) -> (StatusCode, Value) {
    let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/")).header("Idempotency-Key", key);
    answer(request.json(&json!({ "message": message }))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_idempotency_key_posts_once_and_gets_the_same_response() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let first = post(&anna, &uri, "a key", "hello").await;
    assert_eq!(first.0, 200);
    assert_eq!(post(&anna, &uri, "a key", "hello").await, first);
    let reused = json!({"detail": "This Idempotency-Key was used for a different request."});
    assert_eq!(post(&anna, &uri, "a key", "other").await, (StatusCode::UNPROCESSABLE_ENTITY, reused));
    // Keys are separate for each user and chat.
    assert_eq!(post(&ben, &uri, "a key", "hello").await.0, 200);
    let other = anna.start_chat().await;
    assert_eq!(post(&anna, &other, "a key", "hello").await.0, 200);
    // And the same over WebSocket.
    let mut socket = anna.socket().await;
    let frame = json!({"action": "send", "uri": uri, "message": "hello", "key": "a key"});
    let sent = socket.ask(&frame).await;
    let expected =
        json!({"type": "sent", "uri": uri, "id": first.1["id"], "key": "a key", "create_date": first.1["create_date"]});
    assert_eq!(sent, expected);
    assert_eq!(anna.history(&uri).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_posts_with_one_key_post_once() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let mut socket = anna.subscribed(&uri).await;
    let answers = join_all((0..8).map(|_| post(&anna, &uri, "k", "hello"))).await;
    let distinct: HashSet<String> = answers.iter().map(|answer| format!("{answer:?}")).collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    assert_eq!(answers[0].0, 200);
    anna.post(&uri, "end").await;
    let entries = socket.until("end").await;
    assert_eq!(entries.iter().filter(|entry| entry["type"] != "void").count(), 2, "{entries:?}");
    assert_eq!(anna.history(&uri).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_messages_are_validated() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    for key in ["", &"k".repeat(256), "ключ"] {
        let (status, body) = post(&anna, &uri, key, "hello").await;
        assert_eq!(status, 400, "{key}: {body}");
    }
    let path = format!("/api/chats/{uri}/messages/");
    for message in [json!(""), json!("é".repeat(2001)), json!("a\u{0}"), json!(7), json!(null), json!(["a"]), json!({})]
    {
        let (status, body) = anna.call(Method::POST, &path, json!({ "message": message })).await;
        assert_eq!(status, 400);
        assert!(body["message"].is_array(), "{body}");
    }
    assert_eq!(anna.call(Method::POST, &path, json!({})).await.1, json!({"message": ["This field is required."]}));
    let texts = ["é".repeat(2000), "  \n ".to_owned(), "😀\u{200f}שלום <script>alert(1)</script>".to_owned()];
    for text in &texts {
        anna.post(&uri, text).await;
    }
    let history: Vec<Value> = anna.history(&uri).await.into_iter().map(|message| message["message"].clone()).collect();
    assert_eq!(history, texts);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_in_both_directions() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    let mut expected = Vec::new();
    for n in 1..=3 {
        expected.push(anna.post(&uri, &n.to_string()).await);
    }
    ben.join(&uri).await;
    for n in 4..=7 {
        expected.push(ben.post(&uri, &n.to_string()).await);
    }
    assert_eq!(expected, [1, 2, 3, 5, 6, 7, 8]);
    let path = format!("/api/chats/{uri}/messages/");
    let page = async |query: &str| {
        let (status, body) = anna.get(&format!("{path}{query}")).await;
        assert_eq!(status, 200, "{body}");
        let ids: Vec<u64> = body["messages"].as_array().unwrap().iter().map(|m| m["id"].as_u64().unwrap()).collect();
        let link = |name: &str| body[name].as_str().map(|url| url.rsplit_once('?').unwrap().1.to_owned());
        (ids, link("previous"), link("next"))
    };
    let some = |query: &str| Some(query.to_owned());
    assert_eq!(page("").await, (expected.clone(), None, None));
    assert_eq!(page("?limit=3").await, (vec![6, 7, 8], some("before=6&limit=3"), None));
    assert_eq!(page("?before=6&limit=3").await, (vec![2, 3, 5], some("before=2&limit=3"), some("after=5&limit=3")));
    assert_eq!(page("?before=2&limit=3").await, (vec![1], None, some("after=1&limit=3")));
    assert_eq!(page("?after=0&limit=3").await, (vec![1, 2, 3], None, some("after=3&limit=3")));
    assert_eq!(page("?after=3&limit=4").await, (vec![5, 6, 7, 8], some("before=5&limit=4"), None));
    assert_eq!(page("?after=3&before=6").await, (vec![5], some("before=5"), None));
    assert_eq!(page("?after=8").await, (vec![], some("before=9"), None));
    assert_eq!(page("?before=1").await, (vec![], None, some("after=0")));
    assert_eq!(page("?before=0").await, (vec![], None, some("after=0")));
    assert_eq!(page("?after=5&before=2").await.0, [0_u64; 0]);
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?before=-1", "?after=1.5", "?after=99999999999999999999"] {
        assert_eq!(anna.get(&format!("{path}{query}")).await.0, 400, "{query}");
    }
}

/// A function's response has at most 6 MB, so a page of long messages holds fewer than its limit and links to the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_long_messages_is_shortened_and_links_to_the_rest() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let text = "\"".repeat(2000);
    anna.write_log(&uri, &vec![text.as_str(); 800]).await;

    let (status, body) = anna.get(&format!("/api/chats/{uri}/messages/")).await;
    assert_eq!(status, 200);
    let latest = body["messages"].as_array().unwrap();
    assert!((100..800).contains(&latest.len()), "{}", latest.len());
    assert_eq!(latest.last().unwrap()["id"], 800);
    let first = &latest[0]["id"];
    assert!(body["previous"].as_str().unwrap().ends_with(&format!("?before={first}")), "{}", body["previous"]);
    assert_eq!(anna.history(&uri).await.len(), 800, "page after page, all of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_of_a_history_can_be_followed() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.post(&uri, "one").await;
    for query in ["", "?after=9007199254740991", "?before=9007199254740991", "?before=0", "?after=0&limit=1"] {
        let (status, page) = user.get(&format!("/api/chats/{uri}/messages/{query}")).await;
        assert_eq!(status, 200, "{query} {page}");
        for link in [&page["next"], &page["previous"]].into_iter().filter_map(Value::as_str) {
            let (status, page) = user.get(&link[link.find("/api/").unwrap()..]).await;
            assert_eq!(status, 200, "{query} → {link} {page}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_is_authorized_before_the_key_is_validated() {
    let world = World::any().await;
    let post = world.request(Method::POST, "/api/chats/0123456789abcde/messages/").header("Idempotency-Key", "é");
    assert_eq!(answer(post.json(&json!({"message": "x"}))).await.0, 401);
}
