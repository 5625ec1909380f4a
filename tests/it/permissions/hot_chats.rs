//! Whatever is done differently while appends contend.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

pub async fn hot_chats(world: &World) {
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let (messages, others) = (format!("{path}messages/"), format!("{path}members/{}/", guest.username));
    guest.join(&uri).await;
    let mut socket = guest.subscribed(&uri).await;
    let (by_http, by_socket) = (owner.post(&uri, "by HTTP").await, guest.post(&uri, "by a socket").await);
    let message = format!("{messages}{by_http}/");
    let reaction = format!("{message}reactions/👍/");

    // At first it is calm.
    let calm = format!("{messages}{}/", owner.post(&uri, "calm").await);
    owner.call(Method::PATCH, &calm, json!({"message": "still calm"})).await;
    owner.call(Method::PUT, &format!("{calm}reactions/👍/"), Value::Null).await;
    owner.call(Method::DELETE, &format!("{calm}reactions/👍/"), Value::Null).await;
    owner.call(Method::DELETE, &calm, Value::Null).await;

    // What is refused closes its id.
    world.heat(&uri).await;
    let keyed = || {
        let request = owner.request(Method::POST, &messages).header("Idempotency-Key", "k");
        request.json(&json!({"message": "keyed"})).send()
    };
    join_all((0..4).map(|_| keyed())).await;
    for _ in 0..2 {
        owner.call(Method::PATCH, &message, json!({"message": "edited"})).await;
        owner.call(Method::PUT, &reaction, Value::Null).await;
    }
    for _ in 0..2 {
        owner.call(Method::DELETE, &reaction, Value::Null).await;
    }
    for _ in 0..2 {
        owner.call(Method::DELETE, &message, Value::Null).await;
    }
    for frame in [
        json!({"action": "send", "uri": uri, "message": "keyed", "key": "s"}),
        json!({"action": "edit", "uri": uri, "id": by_socket, "message": "edited"}),
        json!({"action": "react", "uri": uri, "id": by_socket, "emoji": "👍"}),
        json!({"action": "react", "uri": uri, "id": by_socket, "emoji": "👍", "remove": true}),
        json!({"action": "delete", "uri": uri, "id": by_socket}),
    ] {
        for _ in 0..4 {
            socket.send(&frame).await;
        }
        let answer = if frame["action"] == "send" { "sent" } else { "done" };
        for _ in 0..4 {
            socket.next_of(answer).await;
        }
    }

    // Readers look for the visible end, and the fan-out closes what was left behind.
    world.reserve(&uri, 1).await;
    for address in ["", "messages/", "search/?q=keyed", "export/", "members/"] {
        guest.get(&format!("{path}{address}")).await;
    }
    guest.get("/api/chats/").await;
    socket.subscribe(&uri, 1).await;
    socket.send(&json!({"action": "subscribe", "uri": uri})).await;
    socket.next_of("subscribed").await;
    owner.post(&uri, "behind a hole").await;
    socket.until("behind a hole").await;

    // Everybody waits for a lock, and members come and go under one.
    let newcomers = join_all((0..3).map(|_| world.user("newcomer"))).await;
    world.lock(&uri).await;
    owner.post(&uri, "after the lock").await;
    world.lock(&uri).await;
    socket.send(&json!({"action": "send", "uri": uri, "message": "by a socket"})).await;
    socket.next_of("sent").await;
    let edited = json!({"message": "edited"});
    let posted = owner.post(&uri, "another").await;
    world.lock(&uri).await;
    owner.call(Method::PATCH, &format!("{messages}{posted}/"), edited).await;
    world.lock(&uri).await;
    owner.call(Method::PUT, &format!("{messages}{posted}/reactions/👍/"), Value::Null).await;
    world.lock(&uri).await;
    owner.call(Method::DELETE, &format!("{messages}{posted}/"), Value::Null).await;
    world.lock(&uri).await;
    join_all(newcomers.iter().map(|user| user.join(&uri))).await;
    world.lock(&uri).await;
    owner.call(Method::PATCH, &path, json!({"owner": newcomers[0].username})).await;
    world.lock(&uri).await;
    newcomers[0].call(Method::DELETE, &others, Value::Null).await;
    world.lock(&uri).await;
    let own = format!("{path}members/{}/", newcomers[0].username);
    newcomers[0].call(Method::DELETE, &own, Value::Null).await;
}
