//! Registration, login, logout, profile and password.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{PASSWORD, User, World, answer, eventually, unique};

async fn log_in(world: &World, username: &str, password: &str) -> (StatusCode, serde_json::Value) {
    let form = [("username", username), ("password", password)];
    answer(world.request(Method::POST, "/auth/token/login").form(&form)).await
}

/// Changes an item of a user directly in the table.
async fn set(user: &User<'_>, (pk, sk): (&str, &str), expression: &str, value: AttributeValue) {
    let update = user.world.dynamodb().update_item().table_name(user.world.variable("TABLE_NAME"));
    let update = update.key("pk", AttributeValue::S(format!("{pk}#{}", user.id)));
    let update = update.key("sk", AttributeValue::S(sk.to_owned())).update_expression(expression);
    update.expression_attribute_values(":value", value).send().await.unwrap();
}

async fn stored(user: &User<'_>, pk: &str, prefix: &str) -> Vec<std::collections::HashMap<String, AttributeValue>> {
    let mut items = user.world.items(&format!("{pk}#{}", user.id)).await;
    items.retain(|item| item["sk"].as_s().unwrap().starts_with(prefix));
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_be_read_and_updated() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (status, profile) = user.get("/auth/me/").await;
    assert_eq!(status, 200);
    let expected = json!({"id": user.id, "username": user.username, "email": "", "first_name": "", "last_name": ""});
    assert_eq!(profile, expected);

    let change = json!({"email": "Anna@EXAMPLE.com", "first_name": " Anna ", "id": 7, "username": "other"});
    for (method, path) in [(Method::PATCH, "/auth/users/me/"), (Method::PUT, "/auth/me")] {
        let (status, profile) = user.call(method, path, change.clone()).await;
        assert_eq!(status, 200);
        let expected = json!({"id": user.id, "username": user.username, "email": "Anna@example.com", "first_name": "Anna", "last_name": ""});
        assert_eq!(profile, expected);
    }
    assert_eq!(user.get("/auth/me/").await.1["first_name"], "Anna");

    let (status, wrong) =
        user.call(Method::PATCH, "/auth/me/", json!({"email": "x", "last_name": "y".repeat(151)})).await;
    assert_eq!(status, 400);
    assert_eq!(wrong["email"], json!(["Enter a valid email address."]));
    assert_eq!(wrong["last_name"], json!(["Ensure this field has no more than 150 characters."]));
}

/// As from two devices at once.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_changes_of_a_profile_all_succeed() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let emails: Vec<String> = (0..3).map(|n| format!("{}-{n}@example.com", user.username)).collect();
    let change = |email: &String| user.call(Method::PATCH, "/auth/me/", json!({ "email": email }));
    for (status, body) in join_all(emails.iter().map(change)).await {
        assert_eq!(status, 200, "{body}");
    }
    let email = user.get("/auth/me/").await.1["email"].as_str().unwrap().to_owned();
    for other in &emails {
        let found = world.items(&format!("EMAIL#{other}")).await.len();
        assert_eq!(found, usize::from(*other == email), "{other}, and the address is {email}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_updated_profile_shows_everywhere() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.post(&uri, "before").await;
    assert_eq!(user.call(Method::PATCH, "/auth/me/", json!({"first_name": "Anna"})).await.0, 200);
    assert_eq!(user.history(&uri).await[0]["user"]["first_name"], "Anna");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_revokes_only_its_token_and_closes_its_sockets() {
    let world = World::any().await;
    let phone = world.user("anna").await;
    let laptop = User {
        world: &world,
        username: phone.username.clone(),
        id: phone.id,
        token: world.log_in(&phone.username).await,
    };
    let (phones, mut laptops) = (phone.socket().await, laptop.socket().await);
    let (status, body) = phone.call(Method::POST, "/auth/token/destroy/", json!({})).await;
    assert_eq!((status, body), (StatusCode::NO_CONTENT, json!(null)));
    phones.closed().await;
    assert_eq!(phone.get("/auth/me/").await.1, json!({"detail": "Invalid token."}));
    assert_eq!(
        world.open("", &[("authorization", &format!("Token {}", phone.token))]).await.err(),
        world.rejection(401)
    );
    assert_eq!(laptop.get("/auth/me/").await.0, 200);
    assert_eq!(laptops.ask(&json!({"action": "ping"})).await["type"], "pong");
    eventually("the connection is deleted", async || stored(&phone, "USER", "CONNECTION#").await.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_revokes_every_other_token() {
    let world = World::any().await;
    let here = world.user("anna").await;
    let there =
        User { world: &world, username: here.username.clone(), id: here.id, token: world.log_in(&here.username).await };
    let (mut heres, theres) = (here.socket().await, there.socket().await);
    let change = |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    let path = "/auth/users/set_password/";
    for (form, complaint) in [
        (change("wrong", "An0ther-pass-phrase"), json!({"current_password": ["Invalid password."]})),
        (
            change(PASSWORD, "12345"),
            json!({"new_password": [
                "This password is too short. It must contain at least 8 characters.",
                "This password is too common.",
                "This password is entirely numeric.",
            ]}),
        ),
        (
            json!({}),
            json!({"current_password": ["This field is required."], "new_password": ["This field is required."]}),
        ),
    ] {
        assert_eq!(here.call(Method::POST, path, form).await, (StatusCode::BAD_REQUEST, complaint));
    }
    assert_eq!(there.get("/auth/me/").await.0, 200);
    assert_eq!(here.call(Method::POST, path, change(PASSWORD, "An0ther-pass-phrase")).await.0, 204);
    theres.closed().await;
    assert_eq!(there.get("/auth/me/").await.0, 401);
    assert_eq!(here.get("/auth/me/").await.0, 200);
    assert_eq!(heres.ask(&json!({"action": "ping"})).await["type"], "pong");
    assert_eq!(log_in(&world, &here.username, PASSWORD).await.0, 400);
    assert_eq!(log_in(&world, &here.username, "An0ther-pass-phrase").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_get_the_same_response() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let expected = json!({"non_field_errors": ["Unable to login with provided credentials."]});
    for (username, password) in
        [(user.username.as_str(), "wrong"), (&unique("nobody"), PASSWORD), (&"x".repeat(3000), "x")]
    {
        assert_eq!(log_in(&world, username, password).await, (StatusCode::BAD_REQUEST, expected.clone()));
    }
}

/// The hash was made by Django, for the password `mypassword` (Python's `hashlib.pbkdf2_hmac`).
#[tokio::test(flavor = "multi_thread")]
async fn a_django_user_logs_in_and_is_rehashed() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let django = "pbkdf2_sha256$2000$salty$mE3JT6mIeJIZ0/zTog7Na/wlpzS4HUkmHMokLQRBahg=";
    set(&user, ("USER", "PROFILE"), "SET password_hash = :value", AttributeValue::S(django.to_owned())).await;
    assert_eq!(log_in(&world, &user.username, "wrong").await.0, 400);
    assert_eq!(log_in(&world, &user.username, "mypassword").await.0, 200);
    let hash = stored(&user, "USER", "PROFILE").await[0]["password_hash"].as_s().unwrap().clone();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert_eq!(log_in(&world, &user.username, "mypassword").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_rejected_before_it_is_deleted() {
    let world = World::any().await;
    let user = world.user("anna").await;
    world.expire_tokens(&user, -60).await;
    assert_eq!(user.get("/auth/me/").await.1, json!({"detail": "Invalid token."}));
    assert_eq!(
        world.open("", &[("authorization", &format!("Token {}", user.token))]).await.err(),
        world.rejection(401)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn using_a_token_extends_it() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let expires_at =
        async || stored(&user, "TOKENS", "").await[0]["expires_at"].as_n().unwrap().parse::<i64>().unwrap();
    let fresh = expires_at().await;
    // Too early for a write.
    world.expire_tokens(&user, 29 * 24 * 3600 + 3600).await;
    let younger = expires_at().await;
    assert_eq!(user.get("/auth/me/").await.0, 200);
    assert_eq!(expires_at().await, younger);
    for seconds in [60, 15 * 24 * 3600] {
        world.expire_tokens(&user, seconds).await;
        assert_eq!(user.get("/auth/me/").await.0, 200);
        assert!(expires_at().await >= fresh);
    }
    // An expired token is not extended.
    world.expire_tokens(&user, -60).await;
    assert_eq!(user.get("/auth/me/").await.0, 401);
    assert!(expires_at().await < fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_a_password_change_is_rejected_before_it_is_deleted() {
    let world = World::any().await;
    let user = world.user("anna").await;
    set(&user, ("USER", "PROFILE"), "SET epoch = :value", AttributeValue::N("1".to_owned())).await;
    assert_eq!(user.get("/auth/me/").await.1, json!({"detail": "Invalid token."}));
    assert_eq!(
        world.open("", &[("authorization", &format!("Token {}", user.token))]).await.err(),
        world.rejection(401)
    );
    let again =
        User { world: &world, username: user.username.clone(), id: user.id, token: world.log_in(&user.username).await };
    assert_eq!(again.get("/auth/me/").await.0, 200);
}

/// An Arabic letter that normalizes to four words with spaces. Usernames are normalized before they are stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_username_must_be_valid_after_normalization() {
    let world = World::any().await;
    let form = json!({"username": "\u{FDFA}", "password": PASSWORD});
    let (status, body) = answer(world.request(Method::POST, "/auth/users/").json(&form)).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["username"].is_array(), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_stored() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let tokens = stored(&user, "TOKENS", "").await;
    assert_eq!(tokens.len(), 1);
    let items = format!("{tokens:?} {:?}", stored(&user, "USER", "").await);
    assert!(!items.contains(&user.token) && !items.contains(&user.token[16..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_of_a_username_create_one_user() {
    let world = World::any().await;
    let form = json!({"username": unique("anna"), "password": PASSWORD});
    let answers = join_all((0..6).map(|_| answer(world.request(Method::POST, "/auth/users/").json(&form)))).await;
    let created = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    assert_eq!(created, 1, "{answers:?}");
    assert!(
        answers.iter().all(|(status, _)| [StatusCode::CREATED, StatusCode::BAD_REQUEST].contains(status)),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn confusable_and_invisible_usernames_are_rejected() {
    let world = World::any().await;
    let name = unique("anna");
    for username in [
        format!("{name}\u{3164}"),
        format!("\u{115F}{name}"),
        format!("{name}.\u{BBE}"),
        "\u{FFA0}".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        "\u{2025}".to_owned(),
    ] {
        let form = json!({"username": username, "password": PASSWORD});
        let (status, body) = answer(world.request(Method::POST, "/auth/users/").json(&form)).await;
        assert_eq!(status, 400, "{username:?}");
        assert!(body["username"].is_array(), "{body}");
    }
    let tamil = format!("\u{BB5}\u{BBE}\u{BA3}\u{BBF}{name}");
    let form = json!({"username": tamil, "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/users/").json(&form)).await.1["username"], tamil);
}

/// A user with such a name from an earlier version or from Django keeps it, and can be named by id if the name is not a
/// valid path segment.
#[tokio::test(flavor = "multi_thread")]
async fn existing_users_keep_usernames_that_are_now_rejected() {
    let world = World::any().await;
    let (owner, mut user) = (world.user("owner").await, world.user("anna").await);
    let name = format!("{}\u{3164}", user.username);
    let put = world.dynamodb().put_item().table_name(world.variable("TABLE_NAME"));
    let put = put.item("pk", AttributeValue::S(format!("USERNAME#{name}")));
    let put = put.item("sk", AttributeValue::S("USERNAME".to_owned()));
    put.item("user_id", AttributeValue::N(user.id.to_string())).send().await.unwrap();
    set(&user, ("USER", "PROFILE"), "SET username = :value", AttributeValue::S(name.clone())).await;
    assert_eq!(log_in(&world, &name, PASSWORD).await.0, 200);
    user.username = name;
    let uri = owner.start_chat().await;
    let member = |name: &str| format!("/api/chats/{uri}/members/{name}/");
    let by_id = member(&format!("id:{}", user.id));
    for remover in [&user, &owner] {
        user.join(&uri).await;
        assert_eq!(remover.call(Method::DELETE, &by_id, json!({})).await.0, 204);
        assert_eq!(user.get(&format!("/api/chats/{uri}/")).await.0, 403);
    }
    assert_eq!(owner.call(Method::DELETE, &by_id, json!({})).await.0, 404, "not a member any more");
    user.join(&uri).await;
    let another = owner.start_chat().await;
    assert_eq!(user.call(Method::DELETE, &member(&format!("id:{}", owner.id)), json!({})).await.0, 403);
    for nobody in ["id:0", "id:99999999999", "id:99999999999999999999", "id:", "id:x", "id:-1", "id:+1"] {
        assert_eq!(owner.call(Method::DELETE, &member(nobody), json!({})).await.0, 404, "{nobody}");
    }
    let body = json!({"owner": format!("id:{}", user.id)});
    assert_eq!(owner.call(Method::PATCH, &format!("/api/chats/{uri}/"), body.clone()).await.1["user"]["id"], user.id);
    assert_eq!(owner.call(Method::PATCH, &format!("/api/chats/{another}/"), body).await.0, 400, "not a member there");
}

/// Values that Django accepted, or accepted before its rules changed.
#[tokio::test(flavor = "multi_thread")]
async fn stored_profile_values_can_be_saved_again() {
    let world = World::any().await;
    let user = world.user("anna").await;
    for email in ["admin@localhost", "\"a@b\"@example.com", "a@[127.0.0.1]", "a@b\u{fc}cher.example"] {
        let (status, profile) = user.call(Method::PATCH, "/auth/me/", json!({ "email": email })).await;
        assert_eq!((status, &profile["email"]), (StatusCode::OK, &json!(email)));
    }
    let (email, name) = ("not an address", " An\u{1}na ");
    set(&user, ("USER", "PROFILE"), "SET email = :value", AttributeValue::S(email.to_owned())).await;
    set(&user, ("USER", "PROFILE"), "SET first_name = :value", AttributeValue::S(name.to_owned())).await;
    let change = json!({"email": email, "first_name": name, "last_name": "Smith"});
    let (status, profile) = user.call(Method::PUT, "/auth/me/", change).await;
    assert_eq!(status, 200, "{profile}");
    assert_eq!(
        (&profile["email"], &profile["first_name"], &profile["last_name"]),
        (&json!(email), &json!(name), &json!("Smith"))
    );
    let change = json!({"email": "another that is none", "first_name": "An\u{2}na"});
    let (status, problems) = user.call(Method::PUT, "/auth/me/", change).await;
    assert!(status == 400 && problems["email"].is_array() && problems["first_name"].is_array(), "{problems}");
}
