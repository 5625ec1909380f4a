//! Creating, reading, joining and leaving chats, and the permissions for it.

use std::time::Duration;

use futures_util::{future::join_all, join};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    proxy::{Call, Fault, Proxy},
    world::{User, World, eventually, unique},
};

fn names(members: &Value) -> Vec<&str> {
    members.as_array().unwrap().iter().map(|member| member["username"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_lists_its_owner_first() {
    let world = World::any().await;
    let (guest, owner) = (world.user("guest").await, world.user("owner").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let (status, chat) = guest.get(&format!("/api/chats/{uri}/")).await;
    assert_eq!(status, 200);
    assert_eq!((&chat["uri"], &chat["owner"]["id"], &chat["last_id"]), (&json!(uri), &json!(owner.id), &json!(1)));
    assert_eq!(names(&chat["members"]), [&owner.username, &guest.username]);
    assert!(chat["create_date"].as_str().unwrap() < chat["update_date"].as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_of_several_users_is_all_or_nothing() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let guests = join_all(["a", "b", "c"].map(|name| world.user(name))).await;
    let uri = owner.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let (ghost, spectre) = (unique("ghost"), unique("spectre"));
    let (status, body) =
        owner.call(Method::PATCH, &path, json!({"usernames": [guests[0].username, ghost, spectre]})).await;
    let complaints = [&ghost, &spectre].map(|name| format!("There is no user \"{name}\"."));
    assert_eq!((status, body), (StatusCode::BAD_REQUEST, json!({"usernames": complaints})));
    assert_eq!(names(&owner.get(&path).await.1["members"]), [&owner.username]);

    let mut socket = owner.subscribed(&uri).await;
    let usernames: Vec<&String> =
        guests.iter().map(|guest| &guest.username).chain([&owner.username, &guests[0].username]).collect();
    let (status, body) = owner.call(Method::PATCH, &path, json!({ "usernames": usernames })).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        names(&body["members"]),
        [&owner.username, &guests[0].username, &guests[1].username, &guests[2].username]
    );
    assert_eq!(names(&body["users"]), [&guests[0].username, &guests[1].username, &guests[2].username, &owner.username]);
    for (id, guest) in (1..).zip(&guests) {
        let joined = socket.next().await;
        let expected = (json!("joined"), json!(id), json!(guest.id), json!(uri));
        assert_eq!(
            (joined["type"].clone(), joined["id"].clone(), joined["user"]["id"].clone(), joined["uri"].clone()),
            expected
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_invitations_are_rejected() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    for (body, field) in [
        (json!({"usernames": []}), "usernames"),
        (json!({"usernames": ["a", 5, null]}), "usernames"),
        (json!({"usernames": vec!["x"; 25]}), "usernames"),
        (json!({}), "username"),
    ] {
        let (status, answer) = owner.call(Method::PATCH, &format!("/api/chats/{uri}/"), body).await;
        assert_eq!(status, 400);
        assert!(answer[field].is_array(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_joins_of_a_user_create_one_member_and_one_entry() {
    let world = World::any().await;
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    join_all((0..8).map(|_| guest.join(&uri))).await;
    let (_, chat) = owner.get(&format!("/api/chats/{uri}/")).await;
    assert_eq!(names(&chat["members"]), [&owner.username, &guest.username]);
    assert_eq!(chat["last_id"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn non_members_can_only_join() {
    let world = World::any().await;
    let (owner, stranger) = (world.user("owner").await, world.user("stranger").await);
    let uri = owner.start_chat().await;
    owner.post(&uri, "secret").await;
    let message = json!({"message": "hello"});
    let calls = [
        (Method::GET, format!("/api/chats/{uri}/"), Value::Null),
        (Method::GET, format!("/api/chats/{uri}/messages/"), Value::Null),
        (Method::POST, format!("/api/chats/{uri}/messages/"), message.clone()),
        (Method::PATCH, format!("/api/chats/{uri}/"), json!({"username": owner.username})),
        (Method::PATCH, format!("/api/chats/{uri}/"), json!({"usernames": [stranger.username, owner.username]})),
    ];
    for (method, path, body) in calls {
        let (status, answer) = stranger.call(method, &path, body).await;
        assert_eq!(
            (status, answer),
            (StatusCode::FORBIDDEN, json!({"detail": "You are not a member of this chat."})),
            "{path}"
        );
    }
    let mut socket = stranger.socket().await;
    for frame in
        [json!({"action": "subscribe", "uri": uri, "after": 0}), json!({"action": "send", "uri": uri, "message": "x"})]
    {
        let answer = socket.ask(&frame).await;
        assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(403)), "{answer}");
    }
    let token = format!("Token {}", stranger.token);
    assert_eq!(world.open(&format!("?uri={uri}"), &[("authorization", &token)]).await.err(), world.rejection(403));

    let mut members = owner.subscribed(&uri).await;
    stranger.join(&uri).await;
    assert_eq!(members.next_of("joined").await["user"]["id"], stranger.id);
    assert_eq!(stranger.call(Method::POST, &format!("/api/chats/{uri}/messages/"), message).await.0, 200);
    assert_eq!(owner.history(&uri).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_resources_are_not_found() {
    let world = World::any().await;
    let user = world.user("anna").await;
    for uri in ["0123456789abcde", "nope", "0123456789ABCDE", "0123456789abcdef", "..%2f"] {
        for (method, path) in [
            (Method::GET, format!("/api/chats/{uri}/")),
            (Method::PATCH, format!("/api/chats/{uri}/")),
            (Method::GET, format!("/api/chats/{uri}/messages/")),
            (Method::POST, format!("/api/chats/{uri}/messages/")),
        ] {
            let body = json!({"username": user.username, "message": "x"});
            let (status, answer) = user.call(method, &path, body).await;
            assert_eq!((status, answer), (StatusCode::NOT_FOUND, json!({"detail": "Not found."})), "{path}");
        }
    }
    assert_eq!(user.get("/api/nothing/").await.1, json!({"detail": "Not found."}));
}

#[tokio::test(flavor = "multi_thread")]
async fn former_members_receive_no_events() {
    let world = World::any().await;
    let (owner, leaver, removed) = (world.user("owner").await, world.user("leaver").await, world.user("removed").await);
    let uri = owner.start_chat().await;
    let mut owners = owner.subscribed(&uri).await;
    for user in [&leaver, &removed] {
        user.join(&uri).await;
        owners.next_of("joined").await;
    }
    for (user, by) in [(&leaver, &leaver), (&removed, &owner)] {
        let other_chat = user.start_chat().await;
        let (mut one, mut other) = (user.subscribed(&uri).await, user.subscribed(&uri).await);
        let (status, body) =
            by.call(Method::DELETE, &format!("/api/chats/{uri}/members/{}/", user.username), Value::Null).await;
        assert_eq!((status, body), (StatusCode::NO_CONTENT, Value::Null));
        owner.post(&uri, "a secret").await;
        let left = owners.next_of("left").await;
        assert_eq!((&left["user"]["id"], &left["uri"]), (&json!(user.id), &json!(uri)));
        owners.until("a secret").await;
        for socket in [&mut one, &mut other] {
            // The sockets stay open for other chats, and the next event is of another chat.
            let ended = socket.next_of("unsubscribed").await;
            assert_eq!(ended, json!({"type": "unsubscribed", "uri": uri}));
            socket.send(&json!({"action": "subscribe", "uri": other_chat})).await;
            // The end of a subscription may be notified of twice.
            let next = socket.next().await;
            let next = if next == ended { socket.next().await } else { next };
            assert_eq!(next["type"], "subscribed");
            let rejected = socket.ask(&json!({"action": "subscribe", "uri": uri, "after": 0})).await;
            assert_eq!((&rejected["type"], &rejected["status"]), (&json!("error"), &json!(403)));
        }
        assert_eq!(user.get(&format!("/api/chats/{uri}/messages/")).await.0, 403);
        assert_eq!(
            by.call(Method::DELETE, &format!("/api/chats/{uri}/members/{}/", user.username), Value::Null).await.0,
            if by.id == owner.id { 404 } else { 403 }
        );
    }
    assert_eq!(names(&owner.get(&format!("/api/chats/{uri}/")).await.1["members"]), [&owner.username]);
    // Anyone with the uri may join again, and then receives events again.
    leaver.join(&uri).await;
    let mut back = leaver.subscribed(&uri).await;
    owner.post(&uri, "welcome back").await;
    back.until("welcome back").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_removes_other_members() {
    let world = World::any().await;
    let (owner, member, stranger) =
        (world.user("owner").await, world.user("member").await, world.user("stranger").await);
    let uri = owner.start_chat().await;
    member.join(&uri).await;
    let path = |name: &str| format!("/api/chats/{uri}/members/{name}/");
    let only_owner = "Only the owner of this chat can remove others.";
    for (caller, name, status, detail) in [
        (&member, owner.username.as_str(), 403, only_owner),
        (&member, "x", 403, only_owner),
        (&stranger, &member.username, 403, "You are not a member of this chat."),
        (&stranger, &stranger.username, 403, "You are not a member of this chat."),
        (&owner, &stranger.username, 404, "Not found."),
        (&owner, &unique("nobody"), 404, "Not found."),
        (&owner, &"x".repeat(3000), 404, "Not found."),
        (&owner, "a%23b%2Fc", 404, "Not found."),
    ] {
        let (code, body) = caller.call(Method::DELETE, &path(name), Value::Null).await;
        assert_eq!((code.as_u16(), &body["detail"]), (status, &json!(detail)), "{name:.40}");
    }
    assert_eq!(owner.call(Method::DELETE, "/api/chats/0123456789abcde/members/x/", Value::Null).await.0, 404);
    assert_eq!(member.call(Method::DELETE, &path(&member.username), Value::Null).await.0, 204);
    // An owner who is alone may leave, and is the owner again after joining.
    assert_eq!(owner.call(Method::DELETE, &path(&owner.username), Value::Null).await.0, 204);
    member.join(&uri).await;
    owner.join(&uri).await;
    assert_eq!(
        names(&owner.get(&format!("/api/chats/{uri}/")).await.1["members"]),
        [&owner.username, &member.username]
    );
    assert_eq!(owner.call(Method::DELETE, &path(&member.username), Value::Null).await.0, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_leaves_have_one_winner_and_one_entry() {
    let world = World::any().await;
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let path = format!("/api/chats/{uri}/members/{}/", guest.username);
    let answers = join_all((0..4).map(|n| {
        let by = if n % 2 == 0 { &owner } else { &guest };
        by.call(Method::DELETE, &path, Value::Null)
    }))
    .await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 204).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [204, 403, 404].contains(&status.as_u16())), "{answers:?}");
    assert_eq!(owner.get(&format!("/api/chats/{uri}/")).await.1["last_id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ownership_can_be_transferred_and_the_old_owner_may_leave() {
    let world = World::any().await;
    let (owner, heir, stranger) = (world.user("owner").await, world.user("heir").await, world.user("stranger").await);
    let uri = owner.start_chat().await;
    heir.join(&uri).await;
    let mut socket = heir.subscribed(&uri).await;
    let path = format!("/api/chats/{uri}/");
    let give = |name: &str| json!({ "owner": name });
    for (caller, to, status) in [
        (&heir, &heir, StatusCode::FORBIDDEN),
        (&stranger, &stranger, StatusCode::FORBIDDEN),
        (&owner, &stranger, StatusCode::BAD_REQUEST),
        (&owner, &owner, StatusCode::OK),
    ] {
        assert_eq!(caller.call(Method::PATCH, &path, give(&to.username)).await.0, status, "{}", to.username);
    }
    for wrong in [
        json!({"owner": unique("nobody")}),
        json!({"owner": ""}),
        json!({"owner": null}),
        json!({"owner": "x".repeat(3000)}),
    ] {
        let (status, body) = owner.call(Method::PATCH, &path, wrong).await;
        assert_eq!((status.as_u16(), body["owner"].is_array()), (400, true), "{body}");
    }
    // The second time as a retry after a lost response.
    for _ in 0..2 {
        let (status, body) = owner.call(Method::PATCH, &path, give(&heir.username)).await;
        assert_eq!((status, &body["user"]["id"]), (StatusCode::OK, &json!(heir.id)), "{body}");
        assert_eq!(names(&body["members"]), [&heir.username, &owner.username]);
    }
    let event = socket.next_of("owner").await;
    assert_eq!((&event["user"]["id"], &event["id"]), (&json!(heir.id), &json!(2)));
    let recovered = heir.socket().await.subscribe(&uri, 1).await;
    assert_eq!(recovered["entries"], json!([event]));
    assert_eq!(heir.get(&path).await.1["owner"]["id"], heir.id);
    let members = |name: &str| format!("{path}members/{name}/");
    assert_eq!(owner.call(Method::DELETE, &members(&heir.username), Value::Null).await.0, 403);
    assert_eq!(owner.call(Method::DELETE, &members(&owner.username), Value::Null).await.0, 204);
    owner.join(&uri).await;
    assert_eq!(names(&heir.get(&path).await.1["members"]), [&heir.username, &owner.username], "once is not for ever");
    assert_eq!(heir.call(Method::DELETE, &members(&owner.username), Value::Null).await.0, 204);
}

/// The longest-standing member becomes the owner, even if the members change between the request and the write.
#[tokio::test(flavor = "multi_thread")]
async fn ownership_passes_on_despite_concurrent_changes_of_members() {
    let (world, dynamodb, _) = Proxy::world().await;
    let (owner, guest, late) = (world.user("owner").await, world.user("guest").await, world.user("late").await);
    let uri = owner.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let leave = async |user: &User| {
        let (status, body) = user.call(Method::DELETE, &format!("{path}members/{}/", user.username), Value::Null).await;
        (status.as_u16(), body)
    };
    let leaves = |call: &Call| call.caller == "leave-chat" && call.operation == "TransactWriteItems";
    dynamodb.inject(move |call| if leaves(call) { Fault::Slow(Duration::from_secs(1)) } else { Fault::None });
    let meanwhile = async |before: usize| {
        eventually("leaving is under way", async || dynamodb.count_of("leave-chat", "TransactWriteItems") > before)
            .await;
    };
    // The owner is alone and leaves, and a user joins concurrently.
    let (left, ()) = join!(leave(&owner), async {
        meanwhile(0).await;
        guest.join(&uri).await;
    });
    assert_eq!(left.0, 204, "{}", left.1);
    let chat = guest.get(&path).await.1;
    assert_eq!((names(&chat["members"]), &chat["owner"]["id"]), (vec![guest.username.as_str()], &json!(guest.id)));
    let log = guest.get(&format!("{path}export/")).await.1;
    let types: Vec<&str> = log.as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["joined", "owner", "left"]);

    // A member leaves, and concurrently becomes the owner.
    owner.join(&uri).await;
    late.join(&uri).await;
    let before = dynamodb.count_of("leave-chat", "TransactWriteItems");
    let (left, handed_over) = join!(leave(&owner), async {
        meanwhile(before).await;
        guest.call(Method::PATCH, &path, json!({"owner": owner.username})).await
    });
    assert_eq!((left.0, handed_over.0.as_u16()), (204, 200), "{}", left.1);
    let chat = guest.get(&path).await.1;
    assert_eq!(names(&chat["members"]), [&guest.username, &late.username]);
    assert_eq!(chat["owner"]["id"], guest.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_transfers_leave_one_owner() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let heirs = join_all(["a", "b", "c"].map(|name| world.user(name))).await;
    let uri = owner.start_chat().await;
    for heir in &heirs {
        heir.join(&uri).await;
    }
    let path = format!("/api/chats/{uri}/");
    let answers =
        join_all(heirs.iter().map(|heir| owner.call(Method::PATCH, &path, json!({"owner": heir.username})))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    let (_, chat) = owner.get(&path).await;
    let won = answers.iter().position(|(status, _)| *status == 200).unwrap();
    assert_eq!((&chat["owner"]["id"], &chat["last_id"]), (&json!(heirs[won].id), &json!(4)));
    assert_eq!(names(&chat["members"])[0], heirs[won].username);
}
