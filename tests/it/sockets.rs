//! WebSocket connections and their actions.

use serde_json::{Value, json};

use crate::world::{World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_browsers_can_connect() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let token = format!("tOkEn  {}", user.token);
    let mut program = world.open("", &[("authorization", &token)]).await.unwrap();
    assert_eq!(program.protocol, None);
    assert_eq!(program.ask(&json!({"action": "ping"})).await, json!({"type": "pong"}));
    if world.emulator() {
        // The emulator does not pass on the header of `$connect`'s response that selects a subprotocol, as AWS does
        // (https://docs.aws.amazon.com/apigateway/latest/developerguide/websocket-connect-route-subprotocol.html).
        return;
    }
    let protocols = format!("confab, token.{}", user.token);
    let mut browser = world.open("", &[("sec-websocket-protocol", &protocols)]).await.unwrap();
    assert_eq!(browser.protocol.as_deref(), Some("confab"));
    assert_eq!(browser.ask(&json!({"action": "ping"})).await, json!({"type": "pong"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_valid_token_are_rejected() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (good, other) = (format!("Token {}", user.token), "0".repeat(64));
    let bad = format!("Token {other}");
    let query = format!("?token={}", user.token);
    for (query, headers, status) in [
        ("", vec![], 401),
        ("", vec![("authorization", bad.as_str())], 401),
        ("", vec![("authorization", "Token")], 401),
        ("", vec![("authorization", "Bearer x")], 401),
        ("", vec![("sec-websocket-protocol", "confab, token.x")], 401),
        (&query, vec![], 401),
        ("?uri=nope", vec![("authorization", good.as_str())], 404),
        ("?uri=0123456789abcde", vec![("authorization", good.as_str())], 404),
    ] {
        assert_eq!(world.open(query, &headers).await.err(), world.rejection(status), "{query} {headers:?}");
    }
}

/// A client can identify the request that failed, and drop one that can never succeed.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_identifies_an_invalid_request() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    for (message, status) in
        [(r#""cut off \ud83d""#.to_owned(), 400), (format!("\"{}\"", "x".repeat(30_000)), 400), ("5}}".to_owned(), 400)]
    {
        let frame = format!(r#"{{"action":"send","uri":"{uri}","key":"k","message":{message}}}"#);
        socket.send_text(&frame).await;
        let error = socket.next_of("error").await;
        let named = (&error["action"], &error["uri"], &error["key"], &error["status"]);
        assert_eq!(named, (&json!("send"), &json!(uri), &json!("k"), &json!(status)), "{frame:.80}");
    }
    assert_eq!(user.history(&uri).await.len(), 0);
}

/// Callers who are not members learn nothing about the other fields.
#[tokio::test(flavor = "multi_thread")]
async fn non_members_are_rejected_before_the_fields_are_checked() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    let (mut own, mut strange) = (anna.socket().await, ben.socket().await);
    for (action, detail) in [
        ("send", "message: Not a valid string."),
        ("edit", "id: This field is required."),
        ("delete", "id: This field is required."),
        ("react", "id: This field is required."),
        ("read", "id: This field is required."),
    ] {
        let frame = json!({"action": action, "uri": uri, "message": 5, "emoji": 5});
        let (own, strange) = (own.ask(&frame).await, strange.ask(&frame).await);
        assert_eq!((&own["status"], &own["detail"]), (&json!(400), &json!(detail)), "{action}");
        assert_eq!(strange["status"], 403, "{action}: {strange}");
    }
    for (more, detail) in [
        (json!({"message": 5}), "message: Not a valid string."),
        (json!({"message": null}), "message: This field may not be null."),
        (json!({}), "message: This field is required."),
    ] {
        let mut frame = json!({"action": "edit", "uri": uri, "id": 1});
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(own.ask(&frame).await["detail"], detail);
    }
    for (more, detail) in [
        (json!({"id": "x"}), "id: A whole number from 0 to 9007199254740991 is required."),
        (json!({"id": 1}), "emoji: This field is required."),
        (json!({"id": 1, "emoji": null}), "emoji: This field may not be null."),
        (json!({"id": 1, "emoji": 5}), "emoji: Not a valid string."),
        (json!({"id": 1, "emoji": "👍", "remove": 1}), "remove: Must be a valid boolean."),
    ] {
        let mut frame = json!({"action": "react", "uri": uri});
        frame.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(own.ask(&frame).await["detail"], detail);
    }
}

/// Without its record, or with an expired token, a socket is rejected for every action, including `ping`.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_valid_record_is_rejected() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    assert_eq!(socket.ask(&json!({"action": "ping"})).await["type"], "pong");
    for item in world.items(&format!("USER#{}", user.id)).await {
        if let Some(id) = item.get("connection_id") {
            world.delete(&format!("CONNECTION#{}", id.as_s().unwrap()), "CONNECTION").await;
        }
    }
    for action in ["ping", "nonsense"] {
        let answer = socket.ask(&json!({ "action": action })).await;
        assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(401)), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_with_a_uri_subscribes_at_once() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let token = format!("Token {}", user.token);
    let mut socket = world.open(&format!("?uri={uri}"), &[("authorization", &token)]).await.unwrap();
    user.post(&uri, "hello").await;
    let message = socket.next().await;
    let expected = json!({
        "type": "message", "uri": uri, "id": 1, "message": "hello", "create_date": message["create_date"],
        "user": {"id": user.id, "username": user.username, "email": "", "first_name": "", "last_name": ""},
    });
    assert_eq!(message, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn send_posts_a_message() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let sent = socket.ask(&json!({"action": "send", "uri": uri, "message": "hello"})).await;
    assert_eq!((&sent["type"], &sent["id"], sent.get("key")), (&json!("sent"), &json!(1), None));
    let history = user.history(&uri).await;
    assert_eq!((&history[0]["message"], &history[0]["create_date"]), (&json!("hello"), &sent["create_date"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_frames_get_an_error() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let cases: Vec<(String, Value, u16)> = vec![
        ("nonsense".into(), Value::Null, 400),
        ("[]".into(), Value::Null, 400),
        ("{}".into(), Value::Null, 400),
        (r#"{"action": 5}"#.into(), Value::Null, 400),
        (r#"{"action": "fly"}"#.into(), json!("fly"), 404),
        (r#"{"action": "$connect"}"#.into(), json!("$connect"), 404),
        (r#"{"action": "$disconnect"}"#.into(), json!("$disconnect"), 404),
        (r#"{"action": "subscribe"}"#.into(), json!("subscribe"), 400),
        (r#"{"action": "subscribe", "uri": 5}"#.into(), json!("subscribe"), 400),
        (r#"{"action": "subscribe", "uri": "nope"}"#.into(), json!("subscribe"), 404),
        (r#"{"action": "subscribe", "uri": "0123456789abcde"}"#.into(), json!("subscribe"), 404),
        (json!({"action": "subscribe", "uri": uri, "after": -1}).to_string(), json!("subscribe"), 400),
        (json!({"action": "subscribe", "uri": uri, "after": "one"}).to_string(), json!("subscribe"), 400),
        (json!({"action": "subscribe", "uri": uri, "after": 1.5}).to_string(), json!("subscribe"), 400),
        (r#"{"action": "unsubscribe", "uri": "nope"}"#.into(), json!("unsubscribe"), 404),
        (json!({"action": "send", "uri": uri}).to_string(), json!("send"), 400),
        (json!({"action": "send", "uri": uri, "message": ""}).to_string(), json!("send"), 400),
        (json!({"action": "send", "uri": uri, "message": "x", "key": ""}).to_string(), json!("send"), 400),
        (json!({"action": "send", "uri": uri, "message": "x", "key": 1}).to_string(), json!("send"), 400),
    ];
    for (frame, action, status) in cases {
        socket.send_text(&frame).await;
        let error = socket.next().await;
        assert_eq!(
            (&error["type"], &error["action"], &error["status"]),
            (&json!("error"), &action, &json!(status)),
            "{frame}: {error}"
        );
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
    }
    assert!(user.history(&uri).await.is_empty());
    let error = socket.ask(&json!({"action": "send", "uri": uri, "message": "", "key": "k"})).await;
    assert_eq!((&error["uri"], &error["key"]), (&json!(uri), &json!("k")), "the client knows which send failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_ends_a_subscription() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (one, two) = (user.start_chat().await, user.start_chat().await);
    let mut socket = user.subscribed(&one).await;
    socket.ask(&json!({"action": "subscribe", "uri": two})).await;
    let answer = socket.ask(&json!({"action": "unsubscribe", "uri": one})).await;
    assert_eq!(answer, json!({"type": "unsubscribed", "uri": one}));
    assert_eq!(socket.ask(&json!({"action": "unsubscribe", "uri": one})).await["type"], "unsubscribed");
    let mut witness = user.subscribed(&one).await;
    user.post(&one, "unheard").await;
    witness.until("unheard").await;
    user.post(&two, "heard").await;
    assert_eq!(socket.next().await["message"], "heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_socket_is_removed() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.subscribed(&uri).await.close().await;
    eventually("there is no subscriber", async || {
        let query =
            world.dynamodb().query().table_name(world.variable("TABLE_NAME")).key_condition_expression("pk = :pk");
        let pk = aws_sdk_dynamodb::types::AttributeValue::S(format!("SUBSCRIBERS#{uri}"));
        query.expression_attribute_values(":pk", pk).consistent_read(true).send().await.unwrap().count == 0
    })
    .await;
}
