//! Messages with characters that SNS and SQS do not take, or that end a line for some readers. Needs separate laptop
//! clouds, behind proxies.

use serde_json::{Value, json};

use crate::{
    proxy::{Fault, Proxy},
    world::{World, options},
};

/// A world with a chat that two sockets are subscribed to: live, or sharded.
async fn world(is_sharded: bool) -> (World, [Proxy; 4]) {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let mut options = options();
    if is_sharded {
        options.parameters.insert("LargeChat".to_owned(), "1".to_owned());
    }
    (Proxy::before_all(&services, options).await, services)
}

/// Control characters, line ends, private and unassigned ones, and those that are no characters.
fn unusual() -> String {
    let ranges = ['\u{1}'..='\u{A0}', '\u{2020}'..='\u{2030}', '\u{FDD0}'..='\u{FDEF}', '\u{FFF0}'..='\u{FFFF}'];
    let others = ['\u{D7FF}', '\u{E000}', '\u{FEFF}', '\u{10000}', '\u{1F44D}', '\u{1FFFE}', '\u{10FFFF}'];
    ranges.into_iter().flatten().chain(others).collect()
}

/// What a message may have
/// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html).
fn is_taken(c: char) -> bool {
    matches!(u32::from(c), 0x9 | 0xA | 0xD | 0x20..=0xD7FF | 0xE000..=0xFFFD | 0x10000..=0x10FFFF)
}

/// The messages that SNS and SQS were given.
fn messages([_, sns, sqs, _]: &[Proxy; 4]) -> [Vec<String>; 2] {
    let published = sns.calls().into_iter().flat_map(|call| {
        let form = reqwest::Url::parse(&format!("http://sns/?{}", call.body)).unwrap();
        let is_message = |name: &str| name == "Message" || name.ends_with(".Message");
        let pairs = form.query_pairs().filter(|(name, _)| is_message(name));
        pairs.map(|(_, message)| message.into_owned()).collect::<Vec<_>>()
    });
    let sent = sqs.calls().into_iter().filter_map(|call| {
        let request: Value = serde_json::from_str(&call.body).unwrap();
        request["MessageBody"].as_str().map(str::to_owned)
    });
    [published.collect(), sent.collect()]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_character_reaches_the_sockets() {
    for is_sharded in [false, true] {
        let (world, services) = world(is_sharded).await;
        let user = world.user("anna").await;
        let uri = user.start_chat().await;
        let mut sockets = [user.subscribed(&uri).await, user.subscribed(&uri).await];
        let text = unusual();
        user.post(&uri, &text).await;
        for socket in &mut sockets {
            assert_eq!(socket.until(&text).await.len(), 1);
            socket.send(&json!({"action": "send", "uri": uri, "message": format!("{text}!")})).await;
            socket.until(&format!("{text}!")).await;
        }
        assert_eq!(user.history(&uri).await[0]["message"], text);
        let [published, sent] = messages(&services);
        let has_it = |message: &String| message.contains("\\uffff");
        assert!(published.iter().any(has_it) && (!is_sharded || sent.iter().any(has_it)));
        for message in published.iter().chain(&sent) {
            assert!(message.chars().all(is_taken), "{message}");
        }
    }
}

/// A frame that SQS does not take stops nothing: the client sees a hole.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_sqs_does_not_take_is_skipped() {
    let (world, services) = world(true).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut sockets = [user.subscribed(&uri).await, user.subscribed(&uri).await];
    services[2].inject(|call| {
        let is_rejected = call.operation == "SendMessage" && call.body.contains("unacceptable");
        if is_rejected { Fault::Reject } else { Fault::None }
    });
    let missing = user.post(&uri, "unacceptable").await;
    // Not before the first is dealt with, so that they do not share a frame.
    crate::world::eventually("it is rejected", async || {
        let cursor = world.items(&format!("CURSOR#{uri}")).await;
        cursor.first().and_then(|item| item.get("last_id")).is_some_and(|id| id.as_n() == Ok(&missing.to_string()))
    })
    .await;
    user.post(&uri, "goes on").await;
    for socket in &mut sockets {
        assert_eq!(socket.until("goes on").await.len(), 1);
        let subscribed = socket.subscribe(&uri, missing - 1).await;
        assert_eq!(subscribed["entries"][0]["message"], "unacceptable");
    }
}
