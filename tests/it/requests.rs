//! Unusual requests: forged headers, odd paths and queries, other charsets, text that is not UTF-8.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{DEADLINE, World, answer, options};

/// The response to a request that is sent byte for byte.
async fn raw(world: &World, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.http_url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Needs a separate laptop cloud, since a gateway on AWS responds to some of these itself.
#[tokio::test(flavor = "multi_thread")]
async fn no_header_path_or_query_causes_a_server_error() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let host = world.http_url.strip_prefix("http://").unwrap().to_owned();
    let messages = format!("/api/chats/{uri}/messages/");
    let token = format!("Authorization: Token {}", user.token);
    for (path, headers) in [
        ("/auth/me/", vec!["X-Forwarded-Proto: https,http"]),
        ("/auth/me/", vec!["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"]),
        ("/auth/me/", vec!["X-Forwarded-Proto: ://"]),
        ("/auth/me/", vec!["X-Forwarded-Host: a b", "X-Forwarded-Port: x"]),
        ("/auth/me/", vec!["X-Forwarded-For: \"<>\""]),
        ("/auth/me/", vec!["Cookie: \u{1F36A}=\u{FFFD}; ;;"]),
        ("/auth/me/", vec!["Content-Type: \"", "Idempotency-Key: \u{85}"]),
        (&messages, vec!["X-Forwarded-Proto: https,http"]),
        (&format!("{messages}?limit=%FF"), vec![]),
        (&format!("{messages}?%FF"), vec![]),
        ("/auth/me/?a=%00&%80=%", vec![]),
        ("/api/chats/%FF/", vec![]),
        ("/api/chats/%2F%2E%2E/", vec![]),
        ("/%00/%FF?x", vec![]),
        ("//auth//me//", vec![]),
    ] {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{token}\r\n{headers}\r\n");
        let answer = raw(&world, request.as_bytes()).await;
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!(status < 500, "{path} {headers}: {answer}");
        assert!(answer.contains("x-request-id: "), "{path} {headers}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(serde_json::from_str::<Value>(body).is_ok(), "{path} {headers}: {answer}");
        if headers.contains("X-Forwarded") {
            assert_eq!(status, 200, "{answer}");
        }
    }
}

fn typed(request: RequestBuilder, content_type: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    request.header("content-type", content_type).body(body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forms_charset_is_decoded_or_rejected() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let post = || user.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
    let form = "application/x-www-form-urlencoded";
    // The emulator passes JSON on as text, and has replaced invalid UTF-8 by then.
    let arrives = |content_type: &str, body: &[u8]| {
        !world.emulator() || !content_type.contains("json") || std::str::from_utf8(body).is_ok()
    };
    let mut posted = 0;
    for (content_type, body) in [
        (format!("{form}; charset=iso-8859-1"), b"message=caf%E9".to_vec()),
        (form.to_owned(), b"message=caf%C3%A9".to_vec()),
        ("application/json; charset=latin1".to_owned(), b"{\"message\": \"caf\xe9\"}".to_vec()),
    ] {
        if arrives(&content_type, &body) {
            let (status, body) = answer(typed(post(), &content_type, body)).await;
            assert_eq!((status, &body["message"]), (StatusCode::OK, &json!("caf\u{e9}")), "{content_type}");
            posted += 1;
        }
    }
    for (content_type, body, expected) in [
        (form.to_owned(), b"message=caf%E9".to_vec(), 400),
        (format!("{form}; charset=klingon"), b"message=x".to_vec(), 415),
        ("application/json".to_owned(), b"{\"message\": \"caf\xe9\"}".to_vec(), 400),
        ("application/json".to_owned(), br#"{"message": "half a pair: \ud83d"}"#.to_vec(), 400),
    ] {
        if arrives(&content_type, &body) {
            let (status, body) = answer(typed(post(), &content_type, body)).await;
            assert_eq!(status.as_u16(), expected, "{content_type} {body}");
        }
    }
    let history: Vec<Value> = user.history(&uri).await.into_iter().map(|message| message["message"].clone()).collect();
    assert_eq!(history, vec!["caf\u{e9}"; posted]);
}

/// In a path, a query, a header and a frame, which have no charset.
#[tokio::test(flavor = "multi_thread")]
async fn invalid_text_is_never_replaced_silently() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let messages = format!("/api/chats/{uri}/messages/");
    let id = user.post(&uri, "\u{FFFD}").await;
    // A gateway may reject such a path itself.
    for (method, path, expected) in [
        (Method::GET, format!("/api/chats/{uri}/search/?q=%FF"), &[400][..]),
        (Method::DELETE, format!("/api/chats/{uri}/members/%FF/"), &[400, 404]),
        (Method::PUT, format!("{messages}{id}/reactions/%FF/"), &[400]),
    ] {
        let (status, body) = user.call(method, &path, json!({})).await;
        assert!(expected.contains(&status.as_u16()), "{path} {status} {body}");
    }
    let key = reqwest::header::HeaderValue::from_bytes(b"caf\xe9").unwrap();
    let post = user.request(Method::POST, &messages).header("idempotency-key", key);
    assert_eq!(answer(post.json(&json!({"message": "x"}))).await.0, 400);
    let mut socket = user.socket().await;
    socket.send_text(r#"{"action": "send", "uri": "x", "message": "half a pair: \ud83d"}"#).await;
    assert_eq!(socket.next().await["status"], 400);
    assert_eq!(user.history(&uri).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_accepts_at_most_one_uri() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (one, other) = (user.start_chat().await, user.start_chat().await);
    let token = format!("Token {}", user.token);
    let headers = [("authorization", token.as_str())];
    for query in [format!("?uri={one}&uri={other}"), format!("?uri={one}&uri={one}"), format!("?uri=x&uri={one}")] {
        assert_eq!(world.open(&query, &headers).await.err(), world.rejection(400), "{query}");
    }
    assert!(world.open(&format!("?uri={one}"), &headers).await.is_ok());
}

/// Characters that end a line for some readers, or that a queue rejects: in a frame, an export, and custom events.
#[tokio::test(flavor = "multi_thread")]
async fn no_character_breaks_a_line() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let odd = "\u{85}\u{2028}\u{2029}\u{FFFE}\u{FFFF}";
    user.post(&uri, odd).await;
    let line = socket.next_text().await;
    assert!(!line.contains(|c| odd.contains(c)), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["message"], odd);
    let published = format!(r#"{{"uri": "{uri}", "type": "weather", "text": "{}"}}"#, &odd[..8]);
    world.publish(&uri, &published).await;
    let line = socket.next_text().await;
    assert!(!line.contains(|c| odd.contains(c)), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["text"], odd[..8]);
    let export = user.request(Method::GET, &format!("/api/chats/{uri}/export/")).send().await.unwrap();
    let export = export.text().await.unwrap();
    assert!(!export.contains(|c| odd.contains(c)), "{export}");
    assert_eq!(serde_json::from_str::<Value>(&export).unwrap()["message"], odd);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_do_not_follow_forged_headers() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.start_chat().await;
    user.write_log(&uri, &vec!["needle"; 5001]).await;
    let chat = format!("/api/chats/{uri}/");
    for (path, query, links) in [
        ("/api/chats/".to_owned(), "limit=1", vec!["next"]),
        (format!("{chat}messages/"), "after=1&limit=1", vec!["next", "previous"]),
        (format!("{chat}search/"), "q=needle&limit=1", vec!["next"]),
        (format!("{chat}export/"), "after=0", vec![]),
    ] {
        let request = user.request(Method::GET, &format!("{path}?{query}"));
        let request = request.header("x-forwarded-proto", "gopher").header("x-forwarded-host", "evil.example");
        let response = request.header("forwarded", "host=evil.example;proto=gopher").send().await.unwrap();
        assert_eq!(response.status(), 200);
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let body = response.text().await.unwrap();
        let body: Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
        let mut found: Vec<String> = links.iter().map(|name| body[*name].as_str().unwrap().to_owned()).collect();
        found.extend(link.map(|link| link.trim_start_matches('<').split('>').next().unwrap().to_owned()));
        assert!(!found.is_empty(), "{path}");
        for link in found {
            // The emulator removes a trailing slash before a function receives the path.
            let (start, _) = link.split_once('?').unwrap();
            assert_eq!(start.trim_end_matches('/'), path.trim_end_matches('/'), "{link}");
            assert_eq!(user.request(Method::GET, &link).send().await.unwrap().status(), 200, "{link}");
        }
    }
}
