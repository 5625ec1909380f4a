//! The relay. Needs separate laptop clouds, behind proxies.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{DEADLINE, User, World, options},
};

/// The next pointer in the queue for what the stream's functions could not process.
async fn pointer(world: &World) -> Value {
    let url = world.cloud.as_ref().unwrap().outputs()["StreamFailuresUrl"].clone();
    let received = async {
        loop {
            let receive = world.sqs().receive_message().queue_url(&url).wait_time_seconds(5).send().await.unwrap();
            if let Some(message) = receive.messages.unwrap_or_default().pop() {
                let delete = world.sqs().delete_message().queue_url(&url);
                delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
                return serde_json::from_str(&message.body.unwrap()).unwrap();
            }
        }
    };
    tokio::time::timeout(3 * DEADLINE, received).await.expect("no record was put aside")
}

async fn edit(user: &User<'_>, uri: &str, id: u64) {
    let path = format!("/api/chats/{uri}/messages/{id}/");
    assert_eq!(user.call(Method::PATCH, &path, json!({"message": "edited"})).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_keeps_failing_is_put_aside_and_holds_up_no_other() {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let world = Proxy::before_all(&services, options()).await;
    let [dynamodb, sns, ..] = &services;
    let user = world.user("anna").await;
    let (good, bad) = (user.start_chat().await, user.start_chat().await);
    let mut sockets = [user.subscribed(&good).await, user.subscribed(&bad).await];
    let id = user.post(&bad, "first").await;
    sockets[1].until("first").await;

    // Of one chat, the relay can read no message; of the other, nothing reaches the exchange but by the relay.
    let log = format!("LOG#{bad}");
    dynamodb.refuse(move |call| call.caller == "relay" && call.body.contains(&log));
    sns.refuse(|call| call.caller == "post-message");
    edit(&user, &bad, id).await;
    user.post(&good, "behind it").await;
    sockets[0].until("behind it").await;
    let pointer = pointer(&world).await;
    assert_eq!(pointer["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!(pointer["requestContext"]["approximateInvokeCount"], 9);
    let arn = pointer["requestContext"]["functionArn"].as_str().unwrap();
    assert!(arn.ends_with("relay"), "{arn}");
    let batch = &pointer["DDBStreamBatchInfo"];
    assert!(batch["startSequenceNumber"].is_string() && batch["endSequenceNumber"].is_string(), "{batch}");
    // The stream has moved on.
    user.post(&good, "the next").await;
    sockets[0].until("the next").await;

    // What was put aside arrives with the chat's next message.
    dynamodb.refuse(|_| false);
    sns.refuse(|_| false);
    user.post(&bad, "last").await;
    let seen = sockets[1].until("last").await;
    assert!(seen.iter().any(|event| event["type"] == "edited"), "{seen:?}");
}
