//! The largest frames that a socket is sent; `Socket::receive` checks that each is below 32 KB.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::world::World;

/// Six bytes in JSON.
const LONG: &str = "\u{1}";

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_frames_are_below_32_kb() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let names = json!({"first_name": "\u{FFFF}".repeat(150), "last_name": "\u{FFFF}".repeat(150)});
    assert_eq!(user.call(Method::PATCH, "/auth/me/", names).await.0, 200);
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let text = LONG.repeat(2000);

    let id = user.post(&uri, &text).await;
    socket.until(&text).await;
    println!("an event: {} bytes", socket.largest);
    let mut requests = user.subscribed(&uri).await;
    let key = "k".repeat(255);
    for (frame, kind) in [
        (json!({"action": "send", "uri": uri, "message": text, "reply_to": id, "key": key}), "sent"),
        (json!({"action": "edit", "uri": uri, "id": id, "message": LONG.repeat(1999)}), "done"),
    ] {
        requests.send(&frame).await;
        requests.next_of(kind).await;
    }
    for emoji in ["👍", "🎉", "😀", "🚀", "🌍", "🍕", "🐙", "👩‍👩‍👧‍👦"] {
        requests.send(&json!({"action": "react", "uri": uri, "id": id, "emoji": emoji})).await;
        requests.next_of("done").await;
    }
    println!("an answer, or an event with it: {} bytes", requests.largest);

    // What an error repeats: as much as fits a frame.
    let mut errors = user.socket().await;
    for bytes in [1024, 1025, 1700] {
        let long = LONG.repeat(bytes);
        for frame in [
            json!({"action": long, "uri": long, "key": long, "id": 9_007_199_254_740_991_u64}),
            json!({"action": "send", "uri": uri, "key": long, "message": long}),
            json!({"action": "react", "uri": uri, "id": id, "emoji": long}),
            json!({"action": "send", "uri": long, "message": ""}),
        ] {
            assert_eq!(errors.ask(&frame).await["type"], "error", "{frame:.100}");
        }
    }
    println!("an error: {} bytes", errors.largest);

    // Frames that join events.
    join_all((0..12).map(|_| user.post(&uri, &text))).await;
    user.post(&uri, "the end").await;
    socket.until("the end").await;
    println!("joined events: {} bytes", socket.largest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_event_fits_a_frame_or_is_not_delivered() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    let event = |bytes: usize| {
        let empty = json!({"uri": uri, "x": ""}).to_string();
        json!({"uri": uri, "x": "x".repeat(bytes - empty.len())}).to_string()
    };
    for bytes in [32 * 1024, 32 * 1024 - 1, 100_000, 100] {
        world.publish(&uri, &event(bytes)).await;
    }
    for bytes in [32 * 1024 - 1, 100] {
        assert_eq!(socket.next().await.to_string().len(), bytes);
    }
}
