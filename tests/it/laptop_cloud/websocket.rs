//! The WebSocket API and `@connections`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, eventually, options};

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_described_written_to_and_closed() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    let id = connection_ids(&world, user.id).await.remove(0);
    assert!(id.ends_with('='), "{id}");

    let about = world.connections(Method::GET, &id, "").await;
    assert_eq!(about.status(), 200);
    assert_eq!(about.json::<Value>().await.unwrap()["identity"]["sourceIp"], "127.0.0.1");
    assert!(world.connections(Method::POST, &id, r#"{"hello": 1}"#).await.status().is_success());
    assert_eq!(socket.next().await, json!({"hello": 1}));
    let large = "x".repeat(128 * 1024 + 1);
    assert_eq!(world.connections(Method::POST, &id, large).await.status(), 413);
    assert_eq!(world.connections(Method::DELETE, &id, "").await.status(), 204);
    assert_eq!(socket.closed().await, 1000);
    let gone = world.connections(Method::POST, &id, "{}").await;
    assert_eq!((gone.status().as_u16(), gone.headers()["x-amzn-errortype"].to_str().unwrap()), (410, "GoneException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_frames_close_the_socket() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    socket.send_text(&json!({"action": "ping", "x": "y".repeat(30_000)}).to_string()).await;
    assert_eq!(socket.next().await["type"], "pong");
    socket.send_text(&"y".repeat(32 * 1024 + 1)).await;
    assert_eq!(socket.closed().await, 1009);
}

/// As API Gateway does, which does not support binary frames. Bytes that are not UTF-8 would be changed on the way to a
/// function, which receives text.
#[tokio::test(flavor = "multi_thread")]
async fn binary_frames_close_the_socket() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let frame = format!(r#"{{"action": "send", "uri": "{uri}", "message": "café"}}"#);
    socket.send_binary(&frame.chars().map(|c| c as u8).collect::<Vec<u8>>()).await;
    assert_eq!(socket.closed().await, 1003);
    assert_eq!(user.history(&uri).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_reaches_the_connect_and_disconnect_routes() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    for action in ["$connect", "$disconnect", "$default"] {
        let answer = socket.ask(&json!({"action": action})).await;
        assert_eq!((&answer["status"], &answer["action"]), (&json!(404), &json!(action)));
    }
    assert_eq!(socket.ask(&json!({"action": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_is_answered() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    assert_eq!(user.socket().await.close_with(4001).await, Some(4001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_can_be_closed() {
    let mut options = options();
    // The messages are larger than a frame.
    options.like_aws.connections_frame_limit = false;
    let world = World::own(options).await;
    let user = world.user("anna").await;
    // This one is open and not read.
    let _socket = user.socket().await;
    let id = connection_ids(&world, user.id).await.remove(0);
    let body = "x".repeat(128 * 1024);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        statuses.push(world.connections(Method::POST, &id, body.clone()).await.status().as_u16());
        assert!(statuses.len() < 2000, "it takes more and more");
    }
    assert!(statuses[..statuses.len() - 1].iter().all(|status| *status == 200));
    assert_eq!(world.connections(Method::DELETE, &id, "").await.status(), 204);
    eventually("the connection is gone", async || world.connections(Method::GET, &id, "").await.status() == 410).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_closes_with_pending_responses_is_removed() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    for _ in 0..700 {
        socket.send(&json!({"action": "ping"})).await;
    }
    drop(socket);
    eventually("the connection is deleted", async || connection_ids(&world, user.id).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_closes_sockets_and_invokes_disconnect() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.data = Some(folder.path().join("confab.db"));
    let world = World::own(options.clone()).await;
    let user = world.user("anna").await;
    let (id, socket) = (user.id, user.socket().await);
    drop(user);
    assert_eq!(connection_ids(&world, id).await.len(), 1);
    world.cloud.unwrap().stop().await;
    assert_eq!(socket.closed().await, 1001);
    let world = World::own(options).await;
    assert!(connection_ids(&world, id).await.is_empty());
}

async fn connection_ids(world: &World, user_id: u64) -> Vec<String> {
    let query = world.dynamodb().query().table_name(world.variable("TABLE_NAME"));
    let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)").consistent_read(true);
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let query = query.expression_attribute_values(":pk", text(format!("USER#{user_id}")));
    let found = query.expression_attribute_values(":prefix", text("CONNECTION#".to_owned())).send().await.unwrap();
    found.items().iter().map(|item| item["connection_id"].as_s().unwrap().clone()).collect()
}
