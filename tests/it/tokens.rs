//! The list of a user's tokens, and revoking them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{PASSWORD, User, World, answer};

/// Another login of a user, with a client of this name.
async fn log_in_with<'a>(user: &User<'a>, client: &[u8]) -> User<'a> {
    let form = json!({ "username": user.username, "password": PASSWORD });
    let request = user.world.request(Method::POST, "/auth/token/create/").json(&form);
    let (status, body) = answer(request.header("user-agent", client)).await;
    assert_eq!(status, 200, "{body}");
    let token = body["auth_token"].as_str().unwrap().to_owned();
    User { world: user.world, username: user.username.clone(), id: user.id, token }
}

async fn tokens(user: &User<'_>) -> Vec<Value> {
    let (status, body) = user.get("/auth/tokens/").await;
    assert_eq!(status, 200, "{body}");
    body["tokens"].as_array().unwrap().clone()
}

/// The id of a user's own token.
async fn own_id(user: &User<'_>) -> String {
    let tokens = tokens(user).await;
    let mut own = tokens.iter().filter(|token| token["current"] == true);
    let id = own.next().unwrap()["id"].as_str().unwrap().to_owned();
    assert!(own.next().is_none(), "{tokens:?}");
    id
}

async fn revoke(user: &User<'_>, id: &str) -> (StatusCode, Value) {
    user.call(Method::DELETE, &format!("/auth/tokens/{id}/"), Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_their_own_valid_tokens() {
    let world = World::any().await;
    let (user, stranger) = (world.user("anna").await, world.user("eve").await);
    let browser = log_in_with(&user, b"Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0").await;
    let long = log_in_with(&user, &[b'x'; 1000]).await;
    // Tokens of another epoch are not valid.
    user.add_old_tokens(3).await;
    let epoch = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let epoch = epoch.key("pk", text(format!("TOKENS#{}", user.id)));
    let other_epoch = aws_sdk_dynamodb::types::AttributeValue::N("7".to_owned());
    for item in world.items(&format!("TOKENS#{}", user.id)).await {
        if item["create_date"].as_s().unwrap().starts_with("2020-") {
            let update = epoch.clone().key("sk", item["sk"].clone()).update_expression("SET epoch = :epoch");
            update.expression_attribute_values(":epoch", other_epoch.clone()).send().await.unwrap();
        }
    }
    let list = tokens(&user).await;
    let clients: Vec<&Value> = list.iter().map(|token| &token["client"]).collect();
    assert_eq!(
        clients,
        [&json!("x".repeat(200)), &json!("Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"), &Value::Null]
    );
    assert_eq!(list[2]["current"], true);
    assert_eq!(tokens(&browser).await[1]["current"], true);
    for token in &list {
        assert_eq!(token["create_date"], token["last_use_date"], "{token}");
    }
    // A part of the hash, and nothing of the token.
    let hashes = world.items(&format!("TOKENS#{}", user.id)).await;
    for token in &list {
        let id = token["id"].as_str().unwrap();
        assert!(hashes.iter().any(|item| item["sk"].as_s().unwrap().starts_with(id)));
        assert!([&user, &browser, &long].iter().all(|user| !user.token.contains(id)));
    }
    assert_eq!(tokens(&stranger).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_shows_to_about_a_day() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let other = log_in_with(&user, b"other").await;
    let day = 24 * 3600;
    // Both were used five days ago; listing is a use of one.
    world.expire_tokens(&user, 25 * day).await;
    let update = world.dynamodb();
    for item in world.items(&format!("TOKENS#{}", user.id)).await {
        let created = aws_sdk_dynamodb::types::AttributeValue::S("2020-01-01T00:00:00.000000Z".to_owned());
        let update = update.update_item().table_name(world.variable("TABLE_NAME"));
        let update = update.key("pk", item["pk"].clone()).key("sk", item["sk"].clone());
        let update = update.update_expression("SET create_date = :date");
        update.expression_attribute_values(":date", created).send().await.unwrap();
    }
    let list = tokens(&user).await;
    let [used, unused] = &list[..] else { panic!("{list:?}") };
    assert_eq!((&used["current"], &unused["current"]), (&json!(true), &json!(false)), "the last used is first");
    assert_eq!(unused["client"], "other");
    assert!(unused["last_use_date"].as_str() < used["last_use_date"].as_str(), "{list:?}");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_revoked_with_its_sockets() {
    let world = World::any().await;
    let (here, stranger) = (world.user("anna").await, world.user("eve").await);
    let there = log_in_with(&here, b"phone").await;
    let (mut heres, theres) = (here.socket().await, there.socket().await);
    let id = own_id(&there).await;
    for unknown in ["0123456789abcdef", "x", &id.to_uppercase(), &id[..15], &format!("{id}0")] {
        if *unknown != id {
            assert_eq!(revoke(&here, unknown).await, (StatusCode::NOT_FOUND, json!({"detail": "Not found."})));
        }
    }
    assert_eq!(revoke(&stranger, &id).await.0, 404);
    assert_eq!(there.get("/auth/me/").await.0, 200);
    assert_eq!(revoke(&here, &id).await, (StatusCode::NO_CONTENT, Value::Null));
    theres.closed().await;
    assert_eq!(there.get("/auth/me/").await.1, json!({"detail": "Invalid token."}));
    assert_eq!(revoke(&here, &id).await.0, 404);
    assert_eq!(tokens(&here).await.len(), 1);
    assert_eq!(heres.ask(&json!({"action": "ping"})).await["type"], "pong");
    // One's own is like a logout.
    assert_eq!(revoke(&here, &own_id(&here).await).await.0, 204);
    heres.closed().await;
    assert_eq!(here.get("/auth/me/").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_other_tokens_are_revoked_at_once() {
    let world = World::any().await;
    let (here, stranger) = (world.user("anna").await, world.user("eve").await);
    let (phone, tablet) = (log_in_with(&here, b"phone").await, log_in_with(&here, b"tablet").await);
    here.add_old_tokens(40).await;
    let (mut heres, phones, tablets) = (here.socket().await, phone.socket().await, tablet.socket().await);
    for _ in 0..2 {
        assert_eq!(
            here.call(Method::DELETE, "/auth/tokens/", Value::Null).await,
            (StatusCode::NO_CONTENT, Value::Null)
        );
    }
    phones.closed().await;
    tablets.closed().await;
    for revoked in [&phone, &tablet] {
        assert_eq!(revoked.get("/auth/me/").await.0, 401);
    }
    let left = tokens(&here).await;
    assert_eq!((left.len(), &left[0]["current"]), (1, &json!(true)));
    assert_eq!(heres.ask(&json!({"action": "ping"})).await["type"], "pong");
    assert_eq!(stranger.get("/auth/me/").await.0, 200);
}
