//! The accounts of users who log in with a token of another system.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    exchange,
    issuer::{Key, claims, configured, trusting},
    user,
};
use crate::world::{PASSWORD, World, answer, unique};

async fn world(key: &Key) -> World {
    World::own(trusting(&[configured(json!({"keys": {"keys": [key.jwk("a")]}}))])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_first_logins_make_one_account() {
    let key = Key::eddsa();
    let world = world(&key).await;
    let token = key.token("a", &claims("anna", json!({"preferred_username": "anna"})));
    let users = join_all((0..8).map(|_| user(&world, &token))).await;
    let ids: BTreeSet<u64> = users.iter().map(|user| user.id).collect();
    assert_eq!(ids.len(), 1);
    assert!(users.iter().all(|user| user.username == "anna"));

    // Others with the same name get another one.
    let tokens: Vec<String> =
        (0..6).map(|n| key.token("a", &claims(&format!("other {n}"), json!({"preferred_username": "ANNA"})))).collect();
    let others = join_all(tokens.iter().map(|token| user(&world, token))).await;
    let names: BTreeSet<String> = others.iter().map(|user| user.username.clone()).collect();
    assert_eq!(names.len(), 6);
    assert!(names.iter().all(|name| name.starts_with("ANNA-")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn usernames_are_of_the_claims() {
    let key = Key::eddsa();
    let world = world(&key).await;
    for (n, (more, expected)) in [
        (json!({"preferred_username": "Carla", "nickname": "cc", "email": "c@example.com"}), "Carla"),
        (json!({"preferred_username": "dora@example.com"}), "dora"),
        (json!({"preferred_username": " ", "nickname": "Ed  Berg"}), "Ed_Berg"),
        (json!({"preferred_username": "..", "email": "fritz+chat@example.com"}), "fritz+chat"),
        (json!({"preferred_username": "p\u{430}ypal", "nickname": 7}), "user"),
    ]
    .into_iter()
    .enumerate()
    {
        let user = user(&world, &key.token("a", &claims(&n.to_string(), more.clone()))).await;
        assert_eq!(user.username, expected, "{more}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn later_logins_update_the_profile() {
    let key = Key::eddsa();
    let world = world(&key).await;
    let log_in = async |more: Value| {
        let user = user(&world, &key.token("a", &claims("anna", more))).await;
        user.get("/auth/me/").await.1
    };
    let first = log_in(json!({
        "preferred_username": "anna", "given_name": "Anna", "family_name": "Berg",
        "email": "Anna@Example.COM", "email_verified": true,
    }))
    .await;
    let mut expected = json!({
        "id": first["id"], "username": "anna", "first_name": "Anna", "last_name": "Berg", "email": "Anna@example.com",
    });
    assert_eq!(first, expected);
    // What is missing, not valid or not verified stays.
    for more in
        [json!({}), json!({"email": "b@example.com", "email_verified": false}), json!({"email": "no", "name": 7})]
    {
        assert_eq!(log_in(more).await, expected);
    }
    expected["last_name"] = "Tal".into();
    expected["email"] = "anna@tal.example".into();
    let more = json!({"preferred_username": "a.tal", "family_name": "T\u{7}al", "email": "anna@tal.example"});
    assert_eq!(log_in(more).await, expected, "the username stays");
    expected["first_name"] = "Anna Tal".into();
    assert_eq!(log_in(json!({"name": "Anna Tal"})).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_the_same_address_or_name_is_another() {
    let key = Key::eddsa();
    let world = world(&key).await;
    let local = world.user("anna").await;
    let email = format!("{}@example.com", local.username);
    assert_eq!(local.call(Method::PATCH, "/auth/me/", json!({ "email": email })).await.0, 200);
    let token = key.token("a", &claims("anna", json!({"email": email, "preferred_username": local.username})));
    let user = user(&world, &token).await;
    assert_ne!(user.id, local.id);
    assert!(user.username.starts_with(&format!("{}-", local.username)), "{}", user.username);
}

#[tokio::test(flavor = "multi_thread")]
async fn such_an_account_has_no_password() {
    let key = Key::eddsa();
    let world = world(&key).await;
    let name = unique("anna");
    let token = key.token("a", &claims("anna", json!({"preferred_username": name})));
    let user = user(&world, &token).await;
    for password in ["!", PASSWORD] {
        let form = json!({"username": name, "password": password});
        let (status, body) = answer(world.request(Method::POST, "/auth/token/login/").json(&form)).await;
        let problem = json!({"non_field_errors": ["Unable to login with provided credentials."]});
        assert_eq!((status.as_u16(), body), (400, problem));
        let form = json!({"current_password": password, "new_password": "An0ther-pass-phrase"});
        assert_eq!(user.call(Method::POST, "/auth/users/set_password/", form).await.0, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inactive_user_is_refused() {
    let key = Key::eddsa();
    let world = world(&key).await;
    let token = key.token("a", &claims("anna", json!({})));
    let user = user(&world, &token).await;
    let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
    let update = update.key("pk", text(&format!("USER#{}", user.id))).key("sk", text("PROFILE"));
    let update = update.update_expression("SET is_active = :no");
    update
        .expression_attribute_values(":no", aws_sdk_dynamodb::types::AttributeValue::Bool(false))
        .send()
        .await
        .unwrap();
    let refused = exchange(&world, &token).await;
    assert_eq!((refused.0.as_u16(), refused.1), (401, json!({"detail": "User inactive or deleted."})));
}

fn text(text: &str) -> aws_sdk_dynamodb::types::AttributeValue {
    aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned())
}
