//! Searching and exporting a chat.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{User, World};

async fn search(user: &User<'_>, uri: &str, query: &str) -> (Vec<String>, Option<String>) {
    let (status, body) = user.get(&format!("/api/chats/{uri}/search/{query}")).await;
    assert_eq!(status, 200, "{body}");
    let found = body["messages"].as_array().unwrap().iter();
    let found = found.map(|message| message["message"].as_str().unwrap().to_owned()).collect();
    (found, body["next"].as_str().map(|url| url[url.find('?').unwrap()..].to_owned()))
}

/// All results, page by page.
async fn all(user: &User<'_>, uri: &str, query: &str) -> Vec<String> {
    let (mut found, mut next) = search(user, uri, query).await;
    while let Some(query) = next {
        let page = search(user, uri, &query).await;
        found.extend(page.0);
        next = page.1;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_all_their_words_newest_first() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    for message in ["Coffee at the café?", "no, tea", "COFFEE then, at CAFE\u{301} Müller", "coffee"] {
        anna.post(&uri, message).await;
    }
    let id = anna.post(&uri, "coffee to be deleted").await;
    let path = format!("/api/chats/{uri}/messages/");
    assert_eq!(anna.call(Method::DELETE, &format!("{path}{id}/"), Value::Null).await.0, 204);
    assert_eq!(anna.call(Method::PATCH, &format!("{path}2/"), json!({"message": "no, green tea"})).await.0, 200);
    let found = async |query: &str| all(&anna, &uri, query).await;
    assert_eq!(found("?q=coffee+caf%C3%A9").await, ["COFFEE then, at CAFE\u{301} Müller", "Coffee at the café?"]);
    assert_eq!(found("?q=coffee").await, ["coffee", "COFFEE then, at CAFE\u{301} Müller", "Coffee at the café?"]);
    assert_eq!(found("?q=coffee&limit=1").await, found("?q=coffee").await);
    assert_eq!(found("?q=coffee&before=4").await.len(), 2);
    assert_eq!(found("?q=green").await, ["no, green tea"], "as it is now");
    assert_eq!((found("?q=no%2C+tea").await.len(), found("?q=milk").await.len()), (1, 0));
    assert_eq!(found("?q=milk&before=0").await.len(), 0);
    for wrong in
        ["", "?q=", "?q=%20%0A", "?q=x&limit=0", "?q=x&limit=101", "?q=x&before=x", &format!("?q={}", "x".repeat(201))]
    {
        assert_eq!(anna.get(&format!("/api/chats/{uri}/search/{wrong}")).await.0, 400, "{wrong}");
    }
}

/// A page scans a part of a long log, so it may be empty and still have a link.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_searched_in_parts() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let mut messages = vec!["hay"; 6000];
    messages[2] = "a needle";
    anna.write_log(&uri, &messages).await;
    let (found, next) = search(&anna, &uri, "?q=needle").await;
    assert_eq!((found.len(), next.is_some()), (0, true));
    assert_eq!(all(&anna, &uri, "?q=needle").await, ["a needle"]);
}

/// The lines of a part of an export, and the query of its `Link`.
async fn part(user: &User<'_>, uri: &str, query: &str) -> (Vec<Value>, Option<String>) {
    let answer = user.request(Method::GET, &format!("/api/chats/{uri}/export/{query}")).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, "application/x-ndjson")
    );
    let next = answer.headers().get("link").map(|link| {
        let (url, rest) = link.to_str().unwrap().strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        url[url.find('?').unwrap()..].to_owned()
    });
    let text = answer.text().await.unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), next)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_equals_the_delivered_log() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    assert_eq!(part(&anna, &uri, "").await, (vec![], None));
    ben.join(&uri).await;
    let id = ben.post(&uri, "two\nlines and \"quotes\"").await;
    let path = format!("/api/chats/{uri}/messages/{id}/");
    assert_eq!(ben.call(Method::PATCH, &path, json!({"message": "edited"})).await.0, 200);
    assert_eq!(anna.call(Method::PUT, &format!("{path}reactions/👍/"), Value::Null).await.0, 200);
    let (lines, next) = part(&anna, &uri, "").await;
    assert_eq!(
        (Value::from(lines.clone()), next),
        (anna.socket().await.subscribe(&uri, 0).await["entries"].clone(), None)
    );
    assert_eq!(lines.len(), 4);
    assert_eq!(part(&anna, &uri, "?after=3").await, (lines[3..].to_vec(), None), "any id is a place to go on from");
    assert_eq!(part(&anna, &uri, "?after=4").await, (vec![], None));
    for wrong in ["?after=x", "?after=-1"] {
        assert_eq!(anna.get(&format!("/api/chats/{uri}/export/{wrong}")).await.0, 400, "{wrong}");
    }
}

/// A function's response has at most 6 MB, so a long log is exported in parts, each with a link to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_log_is_exported_in_parts() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    for (count, text) in [(1500, "\"".repeat(2000)), (6000, "x".to_owned())] {
        let uri = anna.start_chat().await;
        anna.write_log(&uri, &vec![text.as_str(); count]).await;
        let (mut lines, mut next) = part(&anna, &uri, "").await;
        let mut parts = 1;
        while let Some(query) = next {
            assert_eq!(query, format!("?after={}", lines.len()));
            let (more, after) = part(&anna, &uri, &query).await;
            lines.extend(more);
            (next, parts) = (after, parts + 1);
        }
        let ids: Vec<u64> = lines.iter().map(|line| line["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=count as u64).collect::<Vec<_>>());
        assert!((2..6).contains(&parts), "{parts}");
        assert!(lines.iter().all(|line| line["message"] == text.as_str()));
    }
}

/// U+FDFA normalizes to eighteen characters, so a few such messages are as much work as thousands.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_when_its_normalized_text_is_too_long() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let long = "\u{fdfa}".repeat(2000);
    let mut messages = vec![long.as_str(); 400];
    messages[0] = "needle";
    anna.write_log(&uri, &messages).await;
    let (mut found, mut next) = search(&anna, &uri, "?q=needle").await;
    let mut pages = 1;
    while let Some(query) = next {
        assert!(found.is_empty());
        (found, next) = search(&anna, &uri, &query).await;
        pages += 1;
    }
    // 400 messages of 66,000 bytes each, in pages of 8 MB.
    assert!(found == ["needle"] && pages >= 4, "{pages}");
}

/// A reader of the log shows nothing after a gap: an entry that fills the gap later would be out of order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_after_a_gap_is_found_or_listed() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    for message in ["word one", "word two", "word three", "word four"] {
        anna.post(&uri, message).await;
    }
    let last = async || anna.get("/api/chats/").await.1["chats"][0]["last_message"]["message"].clone();
    assert_eq!(last().await, "word four");
    world.delete(&format!("LOG#{uri}"), &format!("{:016}", 3)).await;
    for query in ["?q=word", "?q=word&limit=1", "?q=word&limit=2"] {
        assert_eq!(all(&anna, &uri, query).await, ["word two", "word one"], "{query}");
    }
    assert_eq!(last().await, "word two");
}
