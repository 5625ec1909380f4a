//! Sockets behind a gateway that throttles, and sockets that fail alone. Needs separate laptop clouds, behind proxies.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};

use crate::{
    batches,
    proxy::{Call, Fault, Proxy},
    world::{Socket, User, World, options},
};

const FRAMES_PER_SECOND: f64 = 50.0;
/// Some thousand frames at that rate.
const PATIENCE: Duration = Duration::from_secs(120);

async fn world() -> (World, [Proxy; 4]) {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let world = Proxy::before_all(&services, options()).await;
    (world, services)
}

/// A token bucket, as API Gateway throttles.
fn throttle() -> impl Fn(&Call) -> Fault + Send + 'static {
    let bucket = Mutex::new((FRAMES_PER_SECOND, Instant::now()));
    move |_| {
        let (tokens, filled) = &mut *bucket.lock().unwrap();
        *tokens = (*tokens + filled.elapsed().as_secs_f64() * FRAMES_PER_SECOND).min(FRAMES_PER_SECOND);
        *filled = Instant::now();
        if *tokens < 1.0 {
            return Fault::Throttle;
        }
        *tokens -= 1.0;
        Fault::None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sockets_converge_at_fifty_frames_a_second() {
    let (world, services) = world().await;
    let users = join_all((0..4).map(|_| world.user("user"))).await;
    let uri = users[0].start_chat().await;
    join_all(users[1..].iter().map(|user| user.join(&uri))).await;
    let query = format!("?uri={uri}");
    let open = async |n: usize| {
        let token = format!("Token {}", users[n % users.len()].token);
        world.open(&query, &[("authorization", &token)]).await.unwrap()
    };
    let sockets: Vec<Socket> = stream::iter((0..200).map(open)).buffer_unordered(16).collect().await;
    services[3].calls();
    services[3].inject(throttle());
    for n in 0..4 {
        users[n % users.len()].post(&uri, &n.to_string()).await;
    }
    let history: BTreeSet<u64> =
        users[0].history(&uri).await.iter().map(|entry| entry["id"].as_u64().unwrap()).collect();
    // A socket that is closed fails here.
    let listen = async |mut socket: Socket| {
        let mut missing = history.clone();
        while !missing.is_empty() {
            let entry = socket.receive().await.unwrap_or_else(|code| panic!("a socket was closed with {code}"));
            missing.remove(&entry["id"].as_u64().unwrap_or_default());
        }
        socket
    };
    let started = Instant::now();
    let all = join_all(sockets.into_iter().map(listen));
    let sockets = tokio::time::timeout(PATIENCE, all).await.expect("not all sockets converged");
    let calls = services[3].calls();
    println!("{} sockets after {:?}, {} calls", sockets.len(), started.elapsed(), calls.len());
    assert!(calls.iter().all(|call| call.operation != "DELETE"), "a socket was closed");
    assert_eq!(sockets.len(), 200);
}

/// The connection of a user's only socket.
async fn connection(user: &User<'_>) -> String {
    let items = user.world.items(&format!("USER#{}", user.id)).await;
    items.iter().find_map(|item| item.get("connection_id")).unwrap().as_s().unwrap().clone()
}

/// Whether a call of `@connections` is about a connection.
fn is_about(call: &Call, connection: &str) -> bool {
    call.path.contains(connection) || call.path.contains(&connection.replace('=', "%3D"))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_socket_that_fails_alone_is_closed() {
    const TRIES: u32 = 8;
    let (world, services) = world().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    let (mut annas, bens) = (anna.subscribed(&uri).await, ben.subscribed(&uri).await);
    let (well, ill) = (connection(&anna).await, connection(&ben).await);
    // A frame as it has always been queued. The number of receives says nothing.
    let frame = json!({"uri": uri, "n": 1}).to_string();
    let queued = |to: &str| json!({"uri": uri, "to": {"connection": to}, "frame": frame, "written": null});
    let records = [record(&well, &queued(&well)), record(&ill, &queued(&ill))];
    let deliver = batches::by_hand(&world, &services, batches::CLIENT, "deliver");

    services[3].refuse(|call| call.caller == batches::CLIENT);
    for _ in 0..=TRIES {
        assert_eq!(batches::failures(&deliver, &records).await.len(), 2, "the gateway fails for all");
    }
    let failing = ill.clone();
    services[3]
        .refuse(move |call| call.caller == batches::CLIENT && call.operation == "POST" && is_about(call, &failing));
    // Another process, which knows nothing of the failures. In a row: a frame that is written ends the count.
    let deliver = batches::by_hand(&world, &services, batches::CLIENT, "deliver");
    for _ in 1..TRIES {
        assert_eq!(batches::failures(&deliver, &records).await, [ill.as_str()]);
    }
    services[3].refuse(|_| false);
    assert!(batches::failures(&deliver, &records).await.is_empty());
    let failing = ill.clone();
    services[3]
        .refuse(move |call| call.caller == batches::CLIENT && call.operation == "POST" && is_about(call, &failing));
    // With nothing else to send, the gateway is asked.
    for _ in 1..TRIES {
        let deliver = batches::by_hand(&world, &services, batches::CLIENT, "deliver");
        assert_eq!(batches::failures(&deliver, &records[1..]).await, [ill.as_str()]);
    }
    assert!(batches::failures(&deliver, &records).await.is_empty());
    assert_eq!(bens.closed().await, 1000);
    assert_eq!(annas.next().await["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sockets_that_hang_are_closed() {
    two_ill_sockets_are_closed(Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sockets_with_full_buffers_are_closed() {
    two_ill_sockets_are_closed(Fault::Throttle).await;
}

/// Neither protects the other, and the one that is well stays open.
async fn two_ill_sockets_are_closed(fault: Fault) {
    const TRIES: u32 = 8;
    let (world, services) = world().await;
    let (anna, ben, carl) = (world.user("anna").await, world.user("ben").await, world.user("carl").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    carl.join(&uri).await;
    let (mut annas, bens, carls) =
        (anna.subscribed(&uri).await, ben.subscribed(&uri).await, carl.subscribed(&uri).await);
    let (well, ill) = (connection(&anna).await, [connection(&ben).await, connection(&carl).await]);
    let frame = json!({"uri": uri, "n": 1}).to_string();
    let queued = |to: &str| record(to, &json!({"uri": uri, "to": {"connection": to}, "frame": frame, "written": null}));
    let only_ill = [queued(&ill[0]), queued(&ill[1])];
    let all = [queued(&ill[0]), queued(&ill[1]), queued(&well)];
    let failing = ill.clone();
    services[3].inject(move |call| {
        let is_ill = call.operation == "POST" && failing.iter().any(|id| is_about(call, id));
        if call.caller == batches::CLIENT && is_ill { fault } else { Fault::None }
    });
    let deliver = batches::by_hand(&world, &services, batches::CLIENT, "deliver");
    assert_eq!(batches::failures(&deliver, &all).await.len(), 2, "only the well socket is written to");
    let mut tries = 2;
    while !batches::failures(&deliver, &only_ill).await.is_empty() {
        tries += 1;
        assert!(tries <= 2 * TRIES, "the ill sockets protect each other");
    }
    assert!(tries >= TRIES, "they were closed after {tries} tries");
    assert_eq!((bens.closed().await, carls.closed().await), (1000, 1000));
    assert!(batches::failures(&deliver, &all).await.is_empty());
    for _ in 0..2 {
        assert_eq!(annas.next().await["n"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_socket_keeps_its_progress_and_is_not_closed() {
    const RECORDS: usize = 12;
    let (world, services) = world().await;
    let anna = world.user("anna").await;
    let uri = anna.start_chat().await;
    let mut socket = anna.subscribed(&uri).await;
    let slow = connection(&anna).await;
    // No two of these fit one frame.
    let frame = |n: usize| json!({"uri": uri, "n": n, "text": "x".repeat(20_000)}).to_string();
    let queued = |n| json!({"uri": uri, "to": {"connection": slow}, "frame": frame(n), "written": null});
    let records: Vec<Value> = (0..RECORDS).map(|n| batches::record(&n.to_string(), &slow, 1, &queued(n))).collect();
    let ids: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    // In each try, it takes one frame.
    let posts = Mutex::new(0);
    services[3].refuse(move |call| {
        let is_post = call.caller == batches::CLIENT && call.operation == "POST";
        let posts = &mut *posts.lock().unwrap();
        *posts += usize::from(is_post);
        is_post && (*posts).is_multiple_of(2)
    });
    let deliver = batches::by_hand(&world, &services, batches::CLIENT, "deliver");
    for n in 0..RECORDS {
        assert_eq!(batches::failures(&deliver, &records[n..]).await, ids[n + 1..]);
        assert_eq!(socket.next().await["n"], n);
    }
    assert_eq!(services[3].count("DELETE"), 0, "a slow socket was closed");
}

fn record(id: &str, body: &Value) -> Value {
    batches::record(id, id, 100, body)
}
