//! Changing the username.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{PASSWORD, User, World, answer, unique};

async fn rename(user: &User<'_>, password: &str, name: &str) -> (StatusCode, Value) {
    let form = json!({"current_password": password, "new_username": name});
    user.call(Method::POST, "/auth/username/", form).await
}

async fn log_in(world: &World, username: &str) -> StatusCode {
    let form = json!({"username": username, "password": PASSWORD});
    answer(world.request(Method::POST, "/auth/token/login/").json(&form)).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_username_shows_everywhere_and_frees_the_old_one() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = anna.start_chat().await;
    ben.join(&uri).await;
    anna.post(&uri, "before").await;
    let mut socket = ben.subscribed(&uri).await;
    let mut own_socket = anna.socket().await;
    let name = unique("Anna");
    let form = json!({"current_password": PASSWORD, "new_username": name});
    assert_eq!(anna.call(Method::POST, "/auth/users/set_username/", form).await.0, StatusCode::NO_CONTENT);
    assert_eq!(anna.get("/auth/me/").await.1["username"], name, "the token stays valid");
    assert_eq!(own_socket.ask(&json!({"action": "ping"})).await["type"], "pong", "and so does the socket");
    anna.post(&uri, "after").await;
    assert_eq!(socket.next_of("message").await["user"]["username"], name);
    let history = ben.history(&uri).await;
    assert!(history.iter().all(|message| message["user"]["username"] == name), "{history:?}");
    assert_eq!(log_in(&world, &anna.username).await, 400);
    assert_eq!(log_in(&world, &name).await, 200);
    // The old name is free, and leads to the user who takes it.
    let form = json!({"username": anna.username, "password": PASSWORD});
    let (status, stranger) = answer(world.request(Method::POST, "/auth/users/").json(&form)).await;
    assert_eq!(status, 201);
    let form = json!({"username": anna.username});
    let (status, invited) = ben.call(Method::PATCH, &format!("/api/chats/{uri}/"), form).await;
    assert_eq!((status, &invited["user"]["id"]), (StatusCode::OK, &stranger["id"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_username_needs_the_current_password() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let wrong = json!({"current_password": ["Invalid password."]});
    assert_eq!(rename(&user, "wrong", &unique("anna")).await, (StatusCode::BAD_REQUEST, wrong));
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(rename(&user, "wrong", &unique("anna")).await.0);
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS), "{statuses:?}");
    assert_eq!(user.get("/auth/me/").await.1["username"], user.username);
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_and_invalid_usernames_are_rejected() {
    let world = World::any().await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    let taken = json!({"new_username": ["A user with that username already exists."]});
    for name in [&other.username, &user.username, &format!(" {} ", other.username)] {
        assert_eq!(rename(&user, PASSWORD, name).await, (StatusCode::BAD_REQUEST, taken.clone()));
    }
    for name in ["a b", "..", "\u{3164}", "\u{FDFA}", &"x".repeat(151), ""] {
        let (status, problems) = rename(&user, PASSWORD, name).await;
        assert!(status == 400 && problems["new_username"].is_array(), "{name:?}: {problems}");
    }
    // A name is taken in its normalized form.
    let wide = other.username.replace('b', "\u{FF42}");
    assert_eq!(rename(&user, PASSWORD, &wide).await, (StatusCode::BAD_REQUEST, taken));
    assert_eq!(user.get("/auth/me/").await.1["username"], user.username);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_leave_one_name() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let names: Vec<String> = (0..4).map(|_| unique("anna")).collect();
    let answers = join_all(names.iter().map(|name| rename(&user, PASSWORD, name))).await;
    assert!(answers.iter().any(|(status, _)| *status == 204), "{answers:?}");
    let name = user.get("/auth/me/").await.1["username"].clone();
    let owned = join_all(names.iter().chain([&user.username]).map(|name| log_in(&world, name))).await;
    let expected: Vec<u16> =
        names.iter().chain([&user.username]).map(|each| if name == **each { 200 } else { 400 }).collect();
    assert_eq!(owned, expected, "{name}");
}

/// Two users cannot take one name, and a new name counts against the limit for looked-up names.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_to_one_user() {
    let world = World::any().await;
    let users = join_all((0..4).map(|_| world.user("anna"))).await;
    let name = unique("anna");
    let answers = join_all(users.iter().map(|user| rename(user, PASSWORD, &name))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 204).count(), 1, "{answers:?}");
}
