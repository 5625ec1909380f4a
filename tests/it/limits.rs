//! Rate limiting and size limits: login attempts, messages per minute, large and deeply nested bodies. Needs separate
//! laptop clouds.

use std::{collections::HashMap, time::SystemTime};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    process::{Process, free_ports},
    proxy::{Call, Proxy},
    world::{PASSWORD, User, World, answer, eventually, options, unique},
};

async fn limited(parameters: &[(&str, &str)]) -> World {
    let mut options = options();
    // The gateway's own limit is not what is tested here.
    let parameters = [("PasswordRequestsPerSecond", "1000")].iter().chain(parameters);
    options.parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    World::own(options).await
}

fn log_in(world: &World, username: &str, password: &str) -> RequestBuilder {
    world.request(Method::POST, "/auth/token/create/").json(&json!({"username": username, "password": password}))
}

/// The status, and `Retry-After` if it is 429.
async fn status(request: RequestBuilder) -> (u16, Option<u64>) {
    let response = request.send().await.unwrap();
    let (status, after) = (response.status().as_u16(), response.headers().get("retry-after").cloned());
    let Some(after) = after else { return (status, None) };
    let body: Value = response.json().await.unwrap();
    let seconds = after.to_str().unwrap().parse().unwrap();
    let plural = if seconds == 1 { "" } else { "s" };
    let detail = format!("Request was throttled. Expected available in {seconds} second{plural}.");
    assert_eq!((status, body), (429, json!({"detail": detail})));
    (status, Some(seconds))
}

#[tokio::test(flavor = "multi_thread")]
async fn password_guesses_are_throttled_with_growing_waits() {
    let world = limited(&[("AttemptsPerAddress", "0")]).await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    for username in [user.username.as_str(), &unique("nobody")] {
        for _ in 0..5 {
            assert_eq!(status(log_in(&world, username, "wrong")).await, (400, None));
        }
        // From here on each attempt that is evaluated starts a wait of twice the length: one second, two, four.
        let (mut longest, mut looked_at) = (0, 0);
        while longest < 3 {
            match status(log_in(&world, username, "wrong")).await {
                (429, Some(seconds)) => {
                    assert!(looked_at > 0 && seconds <= 1 << (looked_at - 1), "{seconds} after {looked_at}");
                    longest = longest.max(seconds);
                }
                other => {
                    assert_eq!(other, (400, None));
                    looked_at += 1;
                }
            }
        }
        // Even the right password has to wait; then it succeeds and resets the count.
        assert_eq!(status(log_in(&world, username, PASSWORD)).await.0, 429);
    }
    assert_eq!(status(log_in(&world, &other.username, PASSWORD)).await.0, 200, "another user is not concerned");
    eventually("the wait is over", async || status(log_in(&world, &user.username, PASSWORD)).await.0 == 200).await;
    for _ in 0..5 {
        assert_eq!(status(log_in(&world, &user.username, "wrong")).await, (400, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_attempts_are_all_counted() {
    let world = limited(&[]).await;
    let user = world.user("anna").await;
    let answers = join_all((0..40).map(|_| status(log_in(&world, &user.username, "wrong")))).await;
    let looked_at = answers.iter().filter(|(status, _)| *status == 400).count();
    // Five attempts are free, one starts a wait of a second, and the next ones of two and four.
    assert!((5..=8).contains(&looked_at), "{looked_at}");
    assert!(answers.iter().all(|(status, _)| [400, 429].contains(status)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_throttled_across_usernames() {
    let world = limited(&[("AttemptsPerAddress", "8")]).await;
    let register = || {
        let form = json!({"username": unique("anna"), "password": PASSWORD});
        world.request(Method::POST, "/auth/users/create/").json(&form)
    };
    let statuses = join_all((0..20).map(|_| status(register()))).await;
    let created = statuses.iter().filter(|(status, _)| *status == 201).count();
    assert!((8..=10).contains(&created), "{statuses:?}");
    assert!(statuses.iter().all(|(status, _)| [201, 429].contains(status)), "{statuses:?}");
    let guesses = join_all((0..20).map(|_| status(log_in(&world, &unique("nobody"), "wrong")))).await;
    let looked_at = guesses.iter().filter(|(status, _)| *status == 400).count();
    assert!((8..=10).contains(&looked_at), "registering does not count against logging in: {guesses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn password_changes_are_throttled() {
    let world = limited(&[]).await;
    let user = world.user("anna").await;
    let change = || {
        let form = json!({"current_password": "wrong", "new_password": "An0ther-pass-phrase"});
        status(user.request(Method::POST, "/auth/password/").json(&form))
    };
    let statuses: Vec<u16> = join_all((0..15).map(|_| change())).await.into_iter().map(|(status, _)| status).collect();
    assert!(statuses.iter().filter(|status| **status == 400).count() <= 8, "{statuses:?}");
    assert!(statuses.contains(&429));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_per_minute_are_limited() {
    let world = limited(&[("PostsPerMinute", "5")]).await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    let uri = user.start_chat().await;
    other.join(&uri).await;
    let path = format!("/api/chats/{uri}/messages/");
    let post =
        |key: &str| user.request(Method::POST, &path).header("Idempotency-Key", key).json(&json!({"message": key}));
    let mut posted = 0;
    let wait = loop {
        match status(post(&posted.to_string())).await {
            (200, None) => posted += 1,
            (429, Some(seconds)) => break seconds,
            other => panic!("{other:?}"),
        }
        // A minute may end in between, which resets the count.
        assert!(posted <= 10, "there is no limit");
    };
    // Creating the chat counts, too.
    assert!(posted >= 4 && (1..=60).contains(&wait), "{posted} {wait}");
    assert_eq!(status(post("0")).await, (200, None), "what has been posted is no new message");
    let mut socket = user.socket().await;
    // Edits and reactions count like posts.
    let (message, reaction) = (&format!("{path}2/"), &format!("{path}2/reactions/👍/"));
    let edit = || user.request(Method::PATCH, message).json(&json!({"message": unique("m")}));
    let react = || user.request(Method::PUT, reaction);
    let unreact = || user.request(Method::DELETE, reaction);
    let [mut edited, mut reacted] = [(200, None); 2];
    while edited.0 == 200 {
        edited = status(edit()).await;
    }
    while [200, 204].contains(&reacted.0) {
        reacted = status(if reacted.0 == 200 { unreact() } else { react() }).await;
    }
    assert!(edited.0 == 429 && edited.1.is_some() && reacted.0 == 429, "{edited:?} {reacted:?}");
    let rejected = loop {
        let answer = socket.ask(&json!({"action": "send", "uri": uri, "message": "over", "key": unique("k")})).await;
        if answer["type"] == "error" {
            break answer;
        }
    };
    assert_eq!((&rejected["status"], rejected["retry_after"].as_u64().is_some()), (&json!(429), true), "{rejected}");
    assert_eq!(other.post(&uri, "another user is not affected").await, user.history(&uri).await.len() as u64 + 1);
}

/// Uses up a limit of a user in the current window and the next one.
async fn use_up(world: &World, kind: &str, window: u64, user: &User<'_>) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for number in [now / window, now / window + 1] {
        let put = world.dynamodb().put_item().table_name(world.variable("TABLE_NAME"));
        let put = put.item("pk", AttributeValue::S(format!("RATES#{kind}#{}", user.id)));
        let put = put.item("sk", AttributeValue::S(number.to_string()));
        put.item("events", AttributeValue::N("1000000".to_owned())).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_counts() {
    let world = limited(&[("AttemptsPerAddress", "0")]).await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    let (own, foreign) = (user.start_chat().await, other.start_chat().await);
    other.join(&own).await;
    let id = user.post(&own, "hello").await;
    let message = format!("/api/chats/{own}/messages/{id}/");
    let reaction = format!("{message}reactions/👍/");
    assert_eq!(user.call(Method::PUT, &reaction, Value::Null).await.0, 200);
    let guest = world.user("guest").await;
    use_up(&world, "entries", 60, &user).await;
    let chat = |uri: &str| format!("/api/chats/{uri}/");
    let frame = |action: &str| json!({"action": action, "uri": own, "id": id, "message": "x", "emoji": "🎉"});
    for (method, path, body) in [
        (Method::POST, "/api/chats/".to_owned(), Value::Null),
        (Method::PATCH, chat(&foreign), json!({"username": user.username})),
        (Method::PATCH, chat(&own), json!({"username": guest.username})),
        (Method::PATCH, chat(&own), json!({"owner": other.username})),
        (Method::DELETE, format!("{}members/{}/", chat(&own), other.username), Value::Null),
        (Method::DELETE, format!("{}members/{}/", chat(&own), user.username), Value::Null),
        (Method::POST, format!("{}messages/", chat(&own)), json!({"message": "x"})),
        (Method::PATCH, message.clone(), json!({"message": "x"})),
        (Method::DELETE, message.clone(), Value::Null),
        (Method::PUT, format!("{message}reactions/🎉/"), Value::Null),
        (Method::DELETE, reaction, Value::Null),
    ] {
        let (code, wait) = status(user.request(method.clone(), &path).json(&body)).await;
        assert!(code == 429 && wait.is_some_and(|wait| (1..=60).contains(&wait)), "{method} {path}: {code} {wait:?}");
    }
    let mut socket = user.socket().await;
    for action in ["send", "edit", "delete", "react"] {
        let answer = socket.ask(&frame(action)).await;
        assert_eq!((&answer["status"], answer["retry_after"].is_u64()), (&json!(429), true), "{answer}");
    }
    // Nothing was changed, and no other user is affected.
    other.post(&own, "still here").await;
    let log = other.get(&format!("{}export/", chat(&own))).await.1;
    let types: Vec<&str> = log.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["joined", "message", "reacted", "message"]);

    // Read markers and username lookups have separate limits.
    let marker = |id: u64| user.request(Method::PUT, &format!("{}read/", chat(&own))).json(&json!({ "id": id }));
    assert_eq!(status(marker(2)).await, (200, None));
    use_up(&world, "markers", 60, &user).await;
    assert_eq!(status(marker(3)).await.0, 429);
    assert_eq!(status(marker(1)).await, (200, None), "a marker that does not move is not limited");
    let invite = |name: &str| other.request(Method::PATCH, &chat(&own)).json(&json!({ "username": name }));
    use_up(&world, "lookups", 3600, &other).await;
    assert_eq!(status(invite(&guest.username)).await.0, 429);
    assert_eq!(status(invite(&unique("nobody"))).await.0, 429, "unknown and known names are indistinguishable");
    assert_eq!(status(invite(&other.username)).await, (200, None), "one's own name is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_a_users_chats_is_limited_including_invitations() {
    let world = limited(&[("ChatsPerUser", "2"), ("AttemptsPerAddress", "0")]).await;
    let (user, host) = (world.user("anna").await, world.user("host").await);
    let (first, second) = (user.start_chat().await, host.start_chat().await);
    user.join(&second).await;
    let full = json!({"detail": "This user is in as many chats as one user can be in."});
    let third = host.start_chat().await;
    let path = format!("/api/chats/{third}/");
    for (method, path) in [(Method::POST, "/api/chats/"), (Method::PATCH, &path)] {
        let (status, body) = user.call(method.clone(), path, json!({"username": user.username})).await;
        assert_eq!((status.as_u16(), &body), (403, &full), "{method} {path}");
    }
    let names = json!({"usernames": [host.username, user.username]});
    let problem = format!("\"{}\" is in as many chats as others can bring a user into.", user.username);
    let rejected = host.call(Method::PATCH, &path, names).await;
    assert_eq!((rejected.0.as_u16(), rejected.1), (400, json!({"usernames": [problem]})), "it says who");
    assert_eq!(host.get(&path).await.1["member_count"], 1);
    // Inviting an existing member still succeeds, and leaving frees a place.
    user.join(&second).await;
    let leave = format!("/api/chats/{first}/members/{}/", user.username);
    assert_eq!(user.call(Method::DELETE, &leave, Value::Null).await.0, 204);
    let answers = join_all((0..4).map(|_| user.call(Method::PATCH, &path, json!({"username": user.username})))).await;
    assert!(answers.iter().all(|(status, _)| *status == 200), "one place is taken once: {answers:?}");
    assert_eq!(user.call(Method::POST, "/api/chats/", Value::Null).await.0, 403);
}

/// Others cannot use up a user's limit, so a user can always create and join some chats.
#[tokio::test(flavor = "multi_thread")]
async fn invitations_use_at_most_four_fifths_of_the_chat_limit() {
    let world = limited(&[("ChatsPerUser", "5"), ("AttemptsPerAddress", "0")]).await;
    let (user, hosts) = (world.user("anna").await, [world.user("one").await, world.user("two").await]);
    let mut invited = Vec::new();
    for n in 0..6 {
        let host = &hosts[n % 2];
        let path = format!("/api/chats/{}/", host.start_chat().await);
        invited.push(host.call(Method::PATCH, &path, json!({"username": user.username})).await.0.as_u16());
    }
    assert_eq!(invited, [200, 200, 200, 200, 400, 400]);
    user.start_chat().await;
    assert_eq!(user.call(Method::POST, "/api/chats/", Value::Null).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_oldest_sockets_are_closed_beyond_the_limit() {
    let world = limited(&[("SocketsPerUser", "3"), ("AttemptsPerAddress", "0")]).await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    let others = other.socket().await;
    let mut sockets = Vec::new();
    for _ in 0..4 {
        sockets.push(user.socket().await);
    }
    sockets.remove(0).closed().await;
    for socket in &mut sockets {
        assert_eq!(socket.ask(&json!({"action": "ping"})).await["type"], "pong");
    }
    // Also if many sockets connect concurrently.
    join_all((0..6).map(|_| user.socket())).await;
    let connections = async || world.items(&format!("USER#{}", user.id)).await;
    let is_open = |item: &HashMap<String, AttributeValue>| item["sk"].as_s().unwrap().starts_with("CONNECTION#");
    eventually("three are left", async || connections().await.iter().filter(|item| is_open(item)).count() <= 3).await;
    let mut others = others;
    assert_eq!(others.ask(&json!({"action": "ping"})).await["type"], "pong", "others are not concerned");
}

/// In its response and in its work: the same calls, the same hashing.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_costs_what_a_wrong_password_costs() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let mut seen: Vec<(Value, Vec<String>)> = Vec::new();
    for username in [user.username.as_str(), &unique("nobody")] {
        dynamodb.calls();
        let (status, body) = answer(log_in(&world, username, "wrong")).await;
        assert_eq!(status, 400);
        let own = |call: &Call| call.caller == "login";
        seen.push((body, dynamodb.calls().into_iter().filter(own).map(|call| call.operation).collect()));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_deeply_nested_bodies_are_rejected() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let messages = format!("/api/chats/{uri}/messages/");
    let (large, deep) =
        (json!({"message": "x".repeat(70_000)}).to_string(), format!("{}{}", "[".repeat(30_000), "]".repeat(30_000)));
    for (method, path) in [
        (Method::POST, "/auth/users/create/"),
        (Method::POST, "/auth/token/create/"),
        (Method::PATCH, "/auth/me/"),
        (Method::POST, "/auth/password/"),
        (Method::PATCH, &format!("/api/chats/{uri}/")),
        (Method::POST, &messages),
    ] {
        for (body, expected, detail) in
            [(&large, 413, "The request has more than 65536 bytes."), (&deep, 400, "JSON parse error")]
        {
            let request = user.request(method.clone(), path).header("content-type", "application/json");
            let (status, body) = answer(request.body(body.clone())).await;
            assert_eq!(status.as_u16(), expected, "{method} {path} {body}");
            assert!(body["detail"].as_str().unwrap().starts_with(detail), "{body}");
        }
    }
    assert_eq!(user.history(&uri).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_are_kept_in_free_text_and_rejected_elsewhere() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let message = "\u{1}\u{8}\t\r\n\u{1b}[31m\u{202e}\u{7f}\u{85}\u{2028}";
    user.post(&uri, message).await;
    assert_eq!(user.history(&uri).await[0]["message"], message);
    let (status, body) =
        user.call(Method::POST, &format!("/api/chats/{uri}/messages/"), json!({"message": "a\0b"})).await;
    assert_eq!((status.as_u16(), body), (400, json!({"message": ["Null characters are not allowed."]})));
    for username in ["a\u{1}b", "a#b", "USER#1", "a\0b", "a/b", "a b", "a\u{202e}b"] {
        let form = json!({"username": username, "password": PASSWORD});
        let (status, body) = answer(world.request(Method::POST, "/auth/users/").json(&form)).await;
        assert_eq!(status, 400, "{username:?}");
        assert!(body["username"].is_array(), "{body}");
    }
}

/// No token and no password, at the most detailed useful log level, through everything that accepts one.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_logged() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_ports());
    let process = Process::start(port, &folder.path().join("confab.db"), "debug").await;
    let world = World::at(port);
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let protocols = format!("confab, token.{}", user.token);
    let mut socket = world.open(&format!("?uri={uri}"), &[("sec-websocket-protocol", &protocols)]).await.unwrap();
    user.post(&uri, "hello").await;
    socket.until("hello").await;
    let bad = format!("Token {}x", user.token);
    let rejected = answer(world.request(Method::GET, "/auth/me/").header("Authorization", &bad)).await;
    assert!(rejected.0 == 401 && !rejected.1.to_string().contains(&user.token), "{}", rejected.1);
    let change = json!({"current_password": PASSWORD, "new_password": "An0ther-pass-phrase"});
    assert_eq!(user.call(Method::POST, "/auth/password/", change).await.0, 204);
    assert_eq!(user.call(Method::POST, "/auth/token/logout/", json!({})).await.0, 204);
    socket.closed().await;
    let log = process.printed();
    assert!(log.contains("/auth/password/") && log.contains("DEBUG"), "the log is not what this is about: {log:.2000}");
    for secret in [user.token.as_str(), &user.token[16..], PASSWORD, "An0ther-pass-phrase"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
    process.kill().await;
}
