//! Delivery from a post to every socket: in the log's order, without gaps, after any failure.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use reqwest::Method;
use serde_json::{Value, json, value::RawValue};

use crate::{
    proxy::{Call, Fault, Proxy},
    world::{Socket, World, eventually, options, unique},
};

fn ids(entries: &[Value]) -> Vec<u64> {
    entries.iter().map(|entry| entry["id"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_posts_reach_all_sockets_in_log_order() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let sockets = [anna.subscribed(&uri).await, anna.subscribed(&uri).await, ben.subscribed(&uri).await];
    let posts = (0..40).map(|n| {
        let (user, text) = (if n % 2 == 0 { &anna } else { &ben }, n.to_string());
        let uri = &uri;
        async move { user.post(uri, &text).await }
    });
    let mut acknowledged = join_all(posts).await;
    acknowledged.sort_unstable();
    acknowledged.dedup();
    assert_eq!(acknowledged.len(), 40);
    let history = anna.history(&uri).await;
    for mut socket in sockets {
        let mut seen = Vec::new();
        // The `joined` entry may still have been in transit when the sockets subscribed. The emulator's PublishBatch,
        // which the relay uses, ignores deduplication ids, and its queue hands out a group twice concurrently; repeats
        // are ignored there.
        while seen.len() < 40 {
            let entry = socket.next().await;
            if entry["type"] == "message" && !(world.emulator() && ids(&seen).contains(&entry["id"].as_u64().unwrap()))
            {
                seen.push(entry);
            }
        }
        assert_eq!(ids(&seen), acknowledged);
        let texts = |entries: &[Value]| entries.iter().map(|entry| entry["message"].clone()).collect::<Vec<_>>();
        assert_eq!(texts(&seen), texts(&history));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_missed_thirty_messages_recovers_them() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    user.post(&uri, "seen").await;
    let last = socket.until("seen").await.last().unwrap()["id"].as_u64().unwrap();
    socket.close().await;
    for n in 0..30 {
        user.post(&uri, &n.to_string()).await;
    }
    let mut socket = user.socket().await;
    let subscribed = socket.subscribe(&uri, last).await;
    assert_eq!((&subscribed["recovered"], &subscribed["last_id"]), (&json!(true), &json!(31)));
    let entries = subscribed["entries"].as_array().unwrap();
    assert_eq!(ids(entries), (2..=31).collect::<Vec<_>>());
    let expected: Vec<Value> =
        user.history(&uri).await[1..].iter().map(|m| json!([m["message"], m["user"], m["create_date"]])).collect();
    let recovered: Vec<Value> = entries.iter().map(|m| json!([m["message"], m["user"], m["create_date"]])).collect();
    assert_eq!(recovered, expected);
    user.post(&uri, "live").await;
    // Entries that were in transit during the subscription may be repeated.
    assert_eq!(socket.until("live").await.last().unwrap()["id"], 32);
    let none = socket.subscribe(&uri, 32).await;
    assert_eq!((&none["recovered"], &none["entries"], &none["last_id"]), (&json!(true), &json!([]), &json!(32)));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_more_than_fits_is_reported_as_not_recovered() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    // Five times 6,000 bytes fit into one frame, and six do not.
    for _ in 0..24 {
        user.post(&uri, &"か".repeat(2000)).await;
    }
    let mut socket = user.socket().await;
    let subscribed = socket.subscribe(&uri, 0).await;
    let standing = (&subscribed["last_id"], &subscribed["recovered"], &subscribed["entries"]);
    assert_eq!(standing, (&json!(24), &json!(false), &json!([])));
    assert_eq!(socket.subscribe(&uri, 18).await["recovered"], false);
    let subscribed = socket.subscribe(&uri, 19).await;
    assert_eq!((&subscribed["recovered"], subscribed["entries"].as_array().unwrap().len()), (&json!(true), 5));
    let ahead = socket.subscribe(&uri, 99).await;
    assert_eq!((&ahead["recovered"], &ahead["last_id"]), (&json!(false), &json!(24)));
    user.post(&uri, "live").await;
    assert_eq!(
        socket.until("live").await.last().unwrap()["id"],
        25,
        "a failed recovery is a subscription all the same"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_connections_are_deleted() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let keys = user.leave_stale_connection(&uri).await;
    user.post(&uri, "hello").await;
    assert_eq!(socket.next().await["message"], "hello", "a stale connection delays no delivery");
    for key in keys {
        eventually("the item is gone", async || {
            let get = world.dynamodb().get_item().table_name(world.variable("TABLE_NAME")).set_key(Some(key.clone()));
            get.consistent_read(true).send().await.unwrap().item.is_none()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poison_message_is_dead_lettered_and_does_not_block_its_chat() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let (nonsense, homeless) = (unique("nonsense"), json!({"type": "weather", "at": unique("nowhere")}).to_string());
    world.publish(&uri, &nonsense).await;
    world.publish(&uri, &homeless).await;
    user.post(&uri, "flows on").await;
    assert_eq!(socket.next().await["message"], "flows on");
    let mut wanted = vec![nonsense, homeless];
    while !wanted.is_empty() {
        let receive =
            world.sqs().receive_message().queue_url(world.variable("DEAD_LETTER_QUEUE_URL")).wait_time_seconds(10);
        for message in receive.send().await.unwrap().messages.unwrap_or_default() {
            wanted.retain(|body| Some(body) != message.body.as_ref());
            let delete = world.sqs().delete_message().queue_url(world.variable("DEAD_LETTER_QUEUE_URL"));
            delete.receipt_handle(message.receipt_handle.unwrap()).send().await.unwrap();
        }
    }
}

/// Calls the fan-out with a batch, behind a proxy that makes one chat fail. Needs a separate laptop cloud.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_failing_chat_of_a_batch_is_retried_from_its_first_failure() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let (good, bad) = (user.start_chat().await, user.start_chat().await);
    let (mut goods, mut bads) = (user.subscribed(&good).await, user.subscribed(&bad).await);
    let mut environment = world.environment.clone();
    environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), dynamodb.url().to_owned());
    environment.insert("WEBSOCKET_ENDPOINT".to_owned(), world.websocket_url.replace("ws://", "http://"));
    let fanout = confab_functions::handler("fanout", &environment).unwrap();

    let record = |id: &str, group: &str, body: String| json!({"messageId": id, "body": body, "attributes": {"MessageGroupId": group}, "messageAttributes": {}, "eventSource": "aws:sqs"});
    let say = |uri: &str, n: u64| json!({"uri": uri, "n": n}).to_string();
    // A notification that is ahead of the cursor makes the fan-out read the log, and the proxy rejects that for one
    // chat.
    let hint = |uri: &str| json!({"uri": uri, "type": "message", "id": 2, "n": "hint"}).to_string();
    let log = format!("LOG#{bad}");
    dynamodb.refuse(move |call| call.body.contains(&log));
    let event = json!({"Records": [
        record("1", &good, say(&good, 1)),
        record("2", &bad, say(&bad, 1)),
        record("3", &bad, "poison".to_owned()),
        record("4", &bad, hint(&bad)),
        record("5", &good, say(&good, 2)),
        record("6", &bad, say(&bad, 2)),
    ]});
    let call = async || {
        let payload: Box<RawValue> = serde_json::value::to_raw_value(&event).unwrap();
        let answer =
            fanout(lambda_runtime::LambdaEvent::new(payload, lambda_runtime::Context::default())).await.unwrap();
        let failures = answer["batchItemFailures"].as_array().unwrap().clone();
        failures.iter().map(|failure| failure["itemIdentifier"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(call().await, ["4", "6"]);
    for n in 1..=2 {
        assert_eq!(goods.next().await["n"], n);
    }
    assert_eq!(bads.next().await["n"], 1);
    dynamodb.refuse(|_| false);
    assert!(call().await.is_empty());
    // At least once: entries before the failure are delivered again.
    assert_eq!([bads.next().await["n"].clone(), bads.next().await["n"].clone()], [json!(1), json!(2)]);
}

/// The fan-out recovers a lost notification. Needs a separate laptop cloud.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_notification_is_recovered_by_the_next() {
    let (world, _, sns) = Proxy::world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    user.post(&uri, "one").await;
    socket.until("one").await;
    sns.refuse(|call| call.operation == "Publish");
    let path = format!("/api/chats/{uri}/messages/");
    let (status, body) = user.call(Method::POST, &path, json!({"message": "lost on the way"})).await;
    assert_eq!((status.as_u16(), &body["id"]), (200, &json!(2)), "what is stored is not lost, and so no error");
    sns.refuse(|_| false);
    user.post(&uri, "three").await;
    let seen = socket.until("three").await;
    assert_eq!(ids(&seen), [2, 3]);
    assert_eq!(seen[0]["message"], "lost on the way");
    assert_eq!(seen[0]["user"]["id"], user.id);
}

/// A chat that grows beyond the size that one invocation serves while messages are posted, and continues in shards. A
/// separate laptop cloud is sufficient for some dozens of sockets; docs/guarantees.md has the commands for 10,000.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_chat_receives_everything_in_order() {
    let size: Option<usize> = std::env::var("CONFAB_CHAT_SOCKETS").ok().map(|size| size.parse().unwrap());
    let world = match size {
        Some(_) => World::any().await,
        None => {
            let mut options = options();
            options.parameters.insert("LargeChat".to_owned(), "20".to_owned());
            World::own(options).await
        }
    };
    let size = size.unwrap_or(60);
    let users = join_all((0..8).map(|_| world.user("user"))).await;
    let uri = users[0].start_chat().await;
    for user in &users[1..] {
        user.join(&uri).await;
    }
    let query = format!("?uri={uri}");
    let started = Instant::now();
    let open = |n: usize| {
        let (world, users, uri, query) = (&world, &users, &uri, &query);
        async move {
            let user = &users[n % users.len()];
            if n.is_multiple_of(size / 6) {
                user.post(uri, &format!("while it grows: {n}")).await;
            }
            world.open(query, &[("authorization", &format!("Token {}", user.token))]).await.unwrap()
        }
    };
    let sockets: Vec<Socket> = stream::iter((0..size).map(open)).buffer_unordered(32).collect().await;
    println!("{size} sockets are open after {:?}", started.elapsed());
    let started = Instant::now();
    users[0].post(&uri, "everyone has joined").await;
    join_all(users[1..].iter().map(|user| user.post(&uri, &user.username))).await;
    users[0].post(&uri, "the end").await;
    let history = users[0].history(&uri).await;
    let history: Vec<u64> = history.iter().map(|message| message["id"].as_u64().unwrap()).collect();
    let listen = |mut socket: Socket| {
        let (uri, history) = (&uri, &history);
        async move {
            let mut seen = socket.until("the end").await;
            seen.retain(|entry| entry["type"] == "message" && entry["uri"] == uri.as_str());
            // Delivery is at least once: a client drops what it has.
            let mut ids: Vec<u64> = Vec::new();
            for id in seen.iter().map(|entry| entry["id"].as_u64().unwrap()) {
                if ids.last().is_none_or(|last| id > *last) {
                    ids.push(id);
                }
            }
            // It may miss messages from before its subscription; from its first entry on it receives all, in order.
            assert!(ids.len() >= 9 && history.ends_with(&ids), "{ids:?}");
        }
    };
    stream::iter(sockets).map(listen).buffer_unordered(size).for_each(|()| std::future::ready(())).await;
    println!("nine messages have reached {size} sockets after {:?}", started.elapsed());
    let cursor = world.items(&format!("CURSOR#{uri}")).await;
    assert_eq!(cursor[0]["is_large"].as_bool(), Ok(&true), "it was not delivered to in shards");
}

/// A batch of chats with a common socket that is blocked: it is tried once, and everything else for it in the batch
/// goes through the queue.
#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_socket_delays_a_batch_once() {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let world = Proxy::before_all(&services, options()).await;
    let (user, slow) = (world.user("anna").await, world.user("slow").await);
    let mut chats = Vec::new();
    for _ in 0..6 {
        let uri = user.start_chat().await;
        slow.join(&uri).await;
        chats.push((user.subscribed(&uri).await, uri));
    }
    let mut slow_socket = slow.socket().await;
    for (_, uri) in &chats {
        slow_socket.subscribe(uri, 1).await;
    }
    let connections = world.items(&format!("USER#{}", slow.id)).await;
    let slow_id = connections.iter().find_map(|item| item.get("connection_id")).unwrap().as_s().unwrap().clone();
    let encoded = slow_id.replace('=', "%3D");
    let is_slow = move |call: &Call| call.path.contains(&slow_id) || call.path.contains(&encoded);
    let hangs = is_slow.clone();
    services[3].inject(move |call| if hangs(call) { Fault::Hang } else { Fault::None });
    let record = |n: usize, uri: &str| {
        json!({"messageId": n.to_string(), "body": json!({"uri": uri, "n": n}).to_string(), "messageAttributes": {},
            "attributes": {"MessageGroupId": "one"}, "eventSource": "aws:sqs"})
    };
    // In one message group, so that the chats are delivered in sequence.
    let records: Vec<Value> = chats.iter().enumerate().map(|(n, (_, uri))| record(n, uri)).collect();
    let mut environment = world.environment.clone();
    environment.insert("WEBSOCKET_ENDPOINT".to_owned(), format!("{}/ws", services[3].url()));
    let queue = world.cloud.as_ref().unwrap().outputs()["DeliveryQueueUrl"].clone();
    environment.insert("DELIVERY_QUEUE_URL".to_owned(), queue);
    // It signs with the key of clients.
    let caller = environment["AWS_ACCESS_KEY_ID"].clone();
    let fanout = confab_functions::handler("fanout", &environment).unwrap();
    let event = serde_json::value::to_raw_value(&json!({ "Records": records })).unwrap();
    let answer = fanout(lambda_runtime::LambdaEvent::new(event, lambda_runtime::Context::default())).await.unwrap();
    assert_eq!(answer, json!({"batchItemFailures": []}), "no socket fails a batch");
    for (n, (socket, _)) in chats.iter_mut().enumerate() {
        while socket.next().await["n"] != n {}
    }
    let calls = services[3].calls();
    let tries = calls.iter().filter(|call| call.caller == caller && is_slow(call)).count();
    assert_eq!(tries, 1, "for {} chats", chats.len());
}

/// A client's subscription is registered before the log is read for it; entries written in between are delivered twice
/// rather than never.
#[tokio::test(flavor = "multi_thread")]
async fn entries_written_while_a_client_subscribes_reach_it() {
    let (world, dynamodb, _) = Proxy::world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.post(&uri, "before").await;
    let mut socket = user.socket().await;
    // From here on, registering is delayed; a user posts during the delay, and there is no later post.
    dynamodb.calls();
    dynamodb.inject(|call| {
        let registers = call.caller == "ws-message" && call.operation == "BatchWriteItem";
        if registers { Fault::Slow(Duration::from_millis(700)) } else { Fault::None }
    });
    socket.send(&json!({"action": "subscribe", "uri": uri, "after": 0})).await;
    eventually("it is registering", async || dynamodb.count_of("ws-message", "BatchWriteItem") == 1).await;
    user.post(&uri, "meanwhile").await;
    let mut seen = Vec::new();
    while !seen.contains(&json!(2)) {
        match socket.next().await {
            subscribed if subscribed["type"] == "subscribed" => {
                seen.extend(subscribed["entries"].as_array().unwrap().iter().map(|entry| entry["id"].clone()));
            }
            live => seen.push(live["id"].clone()),
        }
    }
}

/// A program may publish an object that looks like an entry, for example by repeating an event.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_entry_does_not_replace_an_entry() {
    let world = World::any().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let mut socket = anna.subscribed(&uri).await;
    let one = anna.post(&uri, "one").await;
    let entry = socket.until("one").await.remove(0);
    let mut forged = entry.clone();
    forged["id"] = (one + 1).into();
    for body in [&entry, &forged] {
        world.publish(&uri, &body.to_string()).await;
    }
    world.publish(&uri, &json!({"uri": uri, "message": "published"}).to_string()).await;
    assert_eq!(socket.until("published").await.len(), 1, "neither is delivered");
    assert_eq!(anna.post(&uri, "two").await, one + 1);
    assert_eq!(socket.next().await["message"], "two");
}
