//! The list of a chat's members, and the visibility of their data.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{PASSWORD, User, World, answer, options, unique};

fn ids(users: &Value) -> Vec<u64> {
    users.as_array().unwrap().iter().map(|user| user["id"].as_u64().unwrap()).collect()
}

/// Registers users without logging in, and returns their names and ids.
async fn registered(world: &World, number: usize) -> Vec<(String, u64)> {
    let register = async |_| {
        let username = unique("guest");
        let form = json!({ "username": username, "password": PASSWORD });
        let (status, user) = answer(world.request(Method::POST, "/auth/users/create/").json(&form)).await;
        assert_eq!(status, 201, "{user}");
        (username, user["id"].as_u64().unwrap())
    };
    stream::iter(0..number).map(register).buffer_unordered(4).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn large_chats_list_members_in_pages_and_responses_list_only_new_members() {
    let world = World::any().await;
    let owner = world.user("owner").await;
    let uri = owner.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let guests = registered(&world, 110).await;
    let mut count = 1;
    for some in guests.chunks(24) {
        let names: Vec<&String> = some.iter().map(|(name, _)| name).collect();
        let (status, body) = owner.call(Method::PATCH, &path, json!({ "usernames": names })).await;
        assert_eq!(status, 200, "{body}");
        count += some.len() as u64;
        assert_eq!(body["member_count"], count);
        let users: Vec<u64> = some.iter().map(|(_, id)| *id).collect();
        assert_eq!(ids(&body["users"]), users);
        if count <= 100 {
            assert_eq!(ids(&body["members"]).len() as u64, count, "all of them, the owner first");
            assert_eq!(ids(&body["members"])[0], owner.id);
            let subscribed = owner.socket().await.subscribe(&uri, 0).await;
            assert_eq!(subscribed["read"].as_object().unwrap().len() as u64, count, "the markers of all of them");
        } else {
            assert_eq!(ids(&body["members"]), users, "only those whom it is about");
        }
    }
    let again = owner.call(Method::PATCH, &path, json!({"username": owner.username})).await.1;
    assert_eq!((ids(&again["members"]), &again["member_count"]), (vec![owner.id], &json!(111)));

    let shown = owner.get(&path).await.1;
    assert_eq!((&shown["member_count"], &shown["owner"]["id"]), (&json!(111), &json!(owner.id)));
    let mut seen = ids(&shown["members"]);
    assert_eq!(seen.len(), 100);
    let mut next = shown["members_next"].as_str().map(str::to_owned);
    while let Some(path) = next {
        let (status, page) = owner.get(&path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(ids(&page["members"]));
        next = page["next"].as_str().map(str::to_owned);
    }
    let expected: BTreeSet<u64> = guests.iter().map(|(_, id)| *id).chain([owner.id]).collect();
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>()), (111, expected));
    let first = owner.get(&format!("{path}members/")).await.1;
    assert_eq!(first["members"], shown["members"], "the first page is the same");
    for wrong in ["x", "-1", "0", "1.5", "9007199254740992"] {
        let (status, body) = owner.get(&format!("{path}members/?cursor={wrong}")).await;
        assert_eq!((status.as_u16(), body["cursor"].is_array()), (400, true), "{wrong}");
    }
}

async fn with_email<'a>(world: &'a World, name: &str) -> (User<'a>, String) {
    let user = world.user(name).await;
    let email = format!("{}@example.com", user.username);
    assert_eq!(user.call(Method::PATCH, "/auth/me/", json!({ "email": email })).await.0, 200);
    (user, email)
}

/// Every e-mail address in a response, at any place.
fn emails(value: &Value) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    match value {
        Value::Array(values) => values.iter().for_each(|value| all.append(&mut emails(value))),
        Value::Object(members) => members.values().for_each(|value| all.append(&mut emails(value))),
        Value::String(text) if text.contains("@example.com") => drop(all.insert(text.clone())),
        _ => {}
    }
    all
}

/// All HTTP responses about a chat and its members.
async fn shown(user: &User<'_>, uri: &str) -> Vec<Value> {
    let path = format!("/api/chats/{uri}/");
    let mut all = Vec::new();
    for path in [
        &path,
        "/api/chats/",
        &format!("{path}messages/"),
        &format!("{path}search/?q=hello"),
        &format!("{path}members/"),
    ] {
        let (status, body) = user.get(path).await;
        assert_eq!(status, 200, "{body}");
        all.push(body);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn email_addresses_are_shown_only_to_members_over_http() {
    let world = World::any().await;
    let ((anna, annas), (ben, bens), (cleo, cleos)) =
        (with_email(&world, "anna").await, with_email(&world, "ben").await, with_email(&world, "cleo").await);
    let uri = anna.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let mut socket = anna.subscribed(&uri).await;
    let invited = anna.call(Method::PATCH, &path, json!({"usernames": [ben.username, cleo.username]})).await.1;
    let everybody: BTreeSet<String> = [&annas, &bens, &cleos].map(String::clone).into();
    assert_eq!(emails(&invited), everybody, "they share a chat from now on");
    for user in [&anna, &ben, &cleo] {
        user.post(&uri, "hello").await;
    }
    let mut bens_socket = ben.subscribed(&uri).await;
    bens_socket.send(&json!({"action": "typing", "uri": uri})).await;
    assert_eq!(ben.call(Method::PUT, &format!("{path}read/"), json!({"id": 3})).await.0, 200);
    assert_eq!(cleo.call(Method::PUT, &format!("{path}messages/3/reactions/👍/"), Value::Null).await.0, 200);
    assert_eq!(anna.call(Method::PATCH, &path, json!({"owner": ben.username})).await.0, 200);
    assert_eq!(ben.call(Method::PATCH, &path, json!({"owner": anna.username})).await.0, 200);
    let expected =
        [everybody.clone(), [annas.clone(), cleos.clone()].into(), everybody.clone(), everybody.clone(), everybody];
    for (body, expected) in shown(&anna, &uri).await.iter().zip(expected) {
        assert_eq!(emails(body), expected, "{body}");
    }
    // A former member does not share the chat any more; their messages are shown without the address.
    let left = cleo.call(Method::DELETE, &format!("{path}members/{}/", cleo.username), Value::Null).await;
    assert_eq!(left.0, 204);
    for body in shown(&anna, &uri).await {
        assert!(!emails(&body).contains(&cleos), "{body}");
    }
    let mut missing = BTreeSet::from(["joined", "message", "typing", "read", "reacted", "owner", "left", "online"]);
    while !missing.is_empty() {
        let event = socket.next_of_any().await;
        assert_eq!(emails(&event), BTreeSet::new(), "{event}");
        missing.remove(event["type"].as_str().unwrap());
    }
    let export = anna.get(&format!("{path}export/")).await.1;
    assert_eq!(emails(&export), BTreeSet::new(), "an export has what sockets get");
}

/// Needs a separate laptop cloud.
#[tokio::test(flavor = "multi_thread")]
async fn email_addresses_can_be_hidden() {
    let mut options = options();
    options.parameters.insert("ShowEmail".to_owned(), "self".to_owned());
    let world = World::own(options).await;
    let ((anna, annas), (ben, _)) = (with_email(&world, "anna").await, with_email(&world, "ben").await);
    let uri = anna.start_chat().await;
    let invited = anna.call(Method::PATCH, &format!("/api/chats/{uri}/"), json!({"username": ben.username})).await.1;
    ben.post(&uri, "hello").await;
    anna.post(&uri, "hello").await;
    for body in shown(&anna, &uri).await.iter().chain([&invited]) {
        assert!(emails(body).iter().all(|email| *email == annas), "{body}");
    }
    assert_eq!(anna.get("/auth/me/").await.1["email"], annas);
}
