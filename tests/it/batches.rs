//! Batches of the queues' consumers: a message group that fails or hangs delays only itself. Needs separate laptop
//! clouds, behind proxies.

use std::time::Duration;

use confab_functions::Handler;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, json};

use crate::{
    proxy::{Call, Fault, Proxy},
    world::{DEADLINE, World, eventually, options},
};

async fn world() -> (World, [Proxy; 4]) {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let world = Proxy::before_all(&services, options()).await;
    (world, services)
}

/// The access key of clients. A function that a test calls uses it, so that its calls differ from those of the cloud's
/// own functions.
pub const CLIENT: &str = "local";

/// A function that a test calls with events, behind the world's proxies, with the access key of `caller`.
pub fn by_hand(world: &World, services: &[Proxy; 4], caller: &str, function: &str) -> Handler {
    let cloud = world.cloud.as_ref().unwrap();
    let [dynamodb, sns, sqs, sockets] = services;
    let mut environment = world.environment.clone();
    let variables = [
        ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url().to_owned()),
        ("AWS_ENDPOINT_URL_SNS", sns.url().to_owned()),
        ("AWS_ENDPOINT_URL_SQS", sqs.url().to_owned()),
        ("WEBSOCKET_ENDPOINT", format!("{}/ws", sockets.url())),
        ("DELIVERY_QUEUE_URL", cloud.outputs()["DeliveryQueueUrl"].clone()),
        ("ERASURE_QUEUE_URL", cloud.outputs()["ErasureQueueUrl"].clone()),
        ("AWS_ACCESS_KEY_ID", caller.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", cloud.secret_access_key(caller)),
    ];
    environment.extend(variables.map(|(name, value)| (name.to_owned(), value)));
    confab_functions::handler(function, &environment).unwrap()
}

/// A record of an SQS event.
pub fn record(id: &str, group: &str, receives: u32, body: &Value) -> Value {
    json!({
        "messageId": id, "receiptHandle": format!("receipt of {id}"), "body": body.to_string(), "messageAttributes": {},
        "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": receives.to_string()}, "eventSource": "aws:sqs",
    })
}

/// The ids of the messages that a function reports as failed.
pub async fn failures(function: &Handler, records: &[Value]) -> Vec<String> {
    let event = serde_json::value::to_raw_value(&json!({ "Records": records })).unwrap();
    let answer = function(LambdaEvent::new(event, Context::default())).await.unwrap();
    let failures = answer["batchItemFailures"].as_array().unwrap();
    failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect()
}

/// The calls of such a function.
fn made_by_hand(sqs: &Proxy) -> Vec<(String, Value)> {
    let calls = sqs.calls().into_iter().filter(|call| call.caller == CLIENT);
    calls.map(|call| (call.operation, serde_json::from_str::<Value>(&call.body).unwrap()["Entries"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_group_returns_within_seconds() {
    let (world, services) = world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let [dynamodb, _, sqs, _] = &services;
    let failing = uri.clone();
    dynamodb.inject(move |call| {
        let fails = call.caller == "fanout" && call.body.contains(&failing);
        if fails { Fault::Refuse } else { Fault::None }
    });
    user.post(&uri, "delayed").await;
    // The queue's visibility time-out is longer than the socket waits.
    eventually("the messages are returned", async || sqs.count_of("fanout", "ChangeMessageVisibilityBatch") > 0).await;
    dynamodb.refuse(|_| false);
    socket.until("delayed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_hangs_delays_no_other_of_its_batch() {
    let (world, services) = world().await;
    let user = world.user("anna").await;
    let (good, bad, hanging) = (user.start_chat().await, user.start_chat().await, user.start_chat().await);
    let mut socket = user.subscribed(&good).await;
    let [dynamodb, _, sqs, _] = &services;
    let (fails, hangs) = (bad.clone(), hanging.clone());
    dynamodb.inject(move |call: &Call| match call.caller.as_str() {
        CLIENT if call.body.contains(&fails) => Fault::Refuse,
        CLIENT if call.body.contains(&hangs) => Fault::Hang,
        _ => Fault::None,
    });
    let fanout = by_hand(&world, &services, CLIENT, "fanout");
    let body = |uri: &str| json!({"uri": uri, "n": 1});
    let records = [
        record("hanging", &hanging, 1, &body(&hanging)),
        record("good", &good, 1, &body(&good)),
        record("bad", &bad, 3, &body(&bad)),
        record("behind bad", &bad, 1, &body(&bad)),
    ];
    sqs.calls();
    let mut failed = tokio::spawn(async move { failures(&fanout, &records).await });
    assert_eq!(socket.next().await["n"], 1);
    // What has ended is released while the other group hangs.
    for operation in ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"] {
        eventually("the others are released", async || sqs.count_of(CLIENT, operation) > 0).await;
    }
    let released = made_by_hand(sqs);
    let hangs = tokio::time::timeout(Duration::ZERO, &mut failed).await;
    assert!(hangs.is_err(), "nothing hung");
    let entries = |operation: &str| released.iter().find(|(called, _)| called == operation).unwrap().1.clone();
    assert_eq!(entries("DeleteMessageBatch"), json!([{"Id": "0", "ReceiptHandle": "receipt of good"}]));
    // The group returns as a whole, after a time that grows with its receives.
    let expected = json!([
        {"Id": "0", "ReceiptHandle": "receipt of bad", "VisibilityTimeout": 3},
        {"Id": "1", "ReceiptHandle": "receipt of behind bad", "VisibilityTimeout": 3},
    ]);
    assert_eq!(entries("ChangeMessageVisibilityBatch"), expected);
    let mut failed = tokio::time::timeout(DEADLINE, failed).await.unwrap().unwrap();
    failed.sort();
    assert_eq!(failed, ["bad", "behind bad", "hanging"]);
    let last = made_by_hand(sqs);
    let expected = json!([{"Id": "0", "ReceiptHandle": "receipt of hanging", "VisibilityTimeout": 1}]);
    assert_eq!(last, [("ChangeMessageVisibilityBatch".to_owned(), expected)], "Lambda deletes the rest");
}
