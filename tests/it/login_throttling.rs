//! Login throttling by address and username, and the number of tokens. Needs separate laptop clouds.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{PASSWORD, User, World, answer, eventually, options, unique},
};

/// The status of a login from an address, which the function receives from API Gateway only.
async fn log_in_from(world: &World, address: &str, username: &str, password: &str) -> u64 {
    let event = json!({
        "version": "2.0",
        "rawPath": "/auth/token/create/",
        "headers": { "content-type": "application/json" },
        "requestContext": { "http": { "method": "POST", "sourceIp": address } },
        "body": json!({ "username": username, "password": password }).to_string(),
    });
    let login = confab_functions::handler("login", &world.environment).unwrap();
    let event = LambdaEvent::new(serde_json::value::to_raw_value(&event).unwrap(), Context::default());
    login(event).await.unwrap()["statusCode"].as_u64().unwrap()
}

/// The counters of a partition.
async fn counters(world: &World, pk: &str) -> Vec<(String, i64)> {
    let items = world.items(&format!("ATTEMPTS#login#{pk}")).await;
    let number = |value: &AttributeValue| value.as_n().unwrap().parse().unwrap();
    items.iter().filter_map(|item| Some((item["sk"].as_s().unwrap().clone(), number(item.get("attempts")?)))).collect()
}

/// Sets the attempts counted for a username, as if they came from many addresses, and blocks it.
async fn block_name(world: &World, username: &str) {
    let pk = format!("name#{username}");
    // A new hour may begin in between, which starts a new counter.
    let hour = counters(world, &pk).await.pop().unwrap().0.parse::<u64>().unwrap();
    for hour in [hour, hour + 1] {
        let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
        let update = update.key("pk", AttributeValue::S(format!("ATTEMPTS#login#{pk}")));
        let update = update.key("sk", AttributeValue::S(hour.to_string()));
        let update = update.update_expression("SET attempts = :many, blocked_until = :until, expires_at = :until");
        let update = update.expression_attribute_values(":many", AttributeValue::N("1000".to_owned()));
        update.expression_attribute_values(":until", AttributeValue::N("9999999999".to_owned())).send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_from_one_address_does_not_lock_out_other_addresses() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let guesses = join_all((0..20).map(|_| log_in_from(&world, "192.0.2.1", &user.username, "wrong"))).await;
    assert!(guesses.contains(&429), "{guesses:?}");
    assert_eq!(log_in_from(&world, "192.0.2.2", &user.username, PASSWORD).await, 200);
    assert_eq!(log_in_from(&world, "2001:db8::1", &user.username, PASSWORD).await, 200);
    // One address can add to the count of the username only the attempts that it is allowed.
    let looked_at = guesses.iter().filter(|status| **status == 400).count() as i64;
    let counted: i64 = counters(&world, &format!("name#{}", user.username)).await.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, looked_at);
}

#[tokio::test(flavor = "multi_thread")]
async fn distributed_guessing_does_not_lock_out_known_addresses() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let (home, away) = ("192.0.2.1", "198.51.100.7");
    assert_eq!(log_in_from(&world, home, &user.username, PASSWORD).await, 200);
    assert_eq!(log_in_from(&world, away, &user.username, "wrong").await, 400);
    block_name(&world, &user.username).await;
    assert_eq!(log_in_from(&world, away, &user.username, PASSWORD).await, 429);
    assert_eq!(log_in_from(&world, home, &user.username, PASSWORD).await, 200);
    let known = world.items(&format!("ATTEMPTS#login#name#{}", user.username)).await;
    let known: Vec<&str> = known.iter().filter_map(|item| item["sk"].as_s().unwrap().strip_prefix("KNOWN#")).collect();
    // The address of the test is the other one.
    assert_eq!(known.len(), 2, "{known:?}");
    assert!(known.iter().all(|hash| hash.len() == 64), "addresses are stored as hashes: {known:?}");
    // Guessing is throttled there, too.
    let guesses = join_all((0..20).map(|_| log_in_from(&world, home, &user.username, "wrong"))).await;
    assert!(guesses.iter().filter(|status| **status == 400).count() <= 8, "{guesses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn successful_logins_are_limited() {
    let world = World::own(options()).await;
    let (user, other) = (world.user("anna").await, world.user("ben").await);
    let mut logins = 0;
    while log_in_from(&world, "192.0.2.1", &user.username, PASSWORD).await == 200 {
        logins += 1;
        assert!(logins < 200, "there is no end to it");
    }
    // Each login beyond the limit has to wait; another hour may have begun.
    assert!((60..=122).contains(&logins), "{logins}");
    assert_eq!(log_in_from(&world, "192.0.2.1", &other.username, PASSWORD).await, 200, "another user is not concerned");
    assert_eq!(
        log_in_from(&world, "192.0.2.2", &user.username, PASSWORD).await,
        200,
        "another address is not concerned"
    );
}

async fn tokens(user: &User<'_>) -> BTreeSet<String> {
    let items = user.world.items(&format!("TOKENS#{}", user.id)).await;
    items.iter().map(|item| item["sk"].as_s().unwrap().clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_keeps_the_newest_fifty_tokens() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let old = user.add_old_tokens(60).await;
    world.log_in(&user.username).await;
    let left = tokens(&user).await;
    assert_eq!(left.len(), 50);
    assert!(old[..12].iter().all(|hash| !left.contains(hash)) && old[12..].iter().all(|hash| left.contains(hash)));
    for _ in 0..3 {
        world.log_in(&user.username).await;
    }
    assert_eq!(tokens(&user).await.len(), 50);
    assert_eq!(user.get("/auth/me/").await.0, 200, "the newest stay");
}

/// Tokens from before the limit was introduced.
#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_a_login_do_not_grow_with_the_tokens() {
    let (world, dynamodb, _) = Proxy::world().await;
    let mut calls = Vec::new();
    for count in [60, 1000] {
        let user = world.user("anna").await;
        user.add_old_tokens(count).await;
        dynamodb.calls();
        world.log_in(&user.username).await;
        calls.push(dynamodb.calls().into_iter().filter(|call| call.caller == "login").count());
        assert!(tokens(&user).await.len() < count as usize);
    }
    assert_eq!(calls[0], calls[1]);
    assert!(calls[0] <= 14, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_cannot_block_the_password_change() {
    let world = World::own(options()).await;
    let thief = world.user("anna").await;
    let username = thief.username.clone();
    let owner = User { world: &world, id: thief.id, token: world.log_in(&username).await, username };
    let change = async |user: &User<'_>, current: &str| {
        let form = json!({"current_password": current, "new_password": "An0ther-pass-phrase"});
        user.call(Method::POST, "/auth/password/", form).await.0.as_u16()
    };
    let guesses = join_all((0..15).map(|_| change(&thief, "wrong"))).await;
    assert!(guesses.contains(&429), "{guesses:?}");
    assert_eq!(change(&owner, PASSWORD).await, 204);
    assert_eq!(thief.get("/auth/me/").await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_everywhere_revokes_all_tokens_and_closes_all_sockets() {
    let world = World::any().await;
    let (phone, other) = (world.user("anna").await, world.user("ben").await);
    let username = phone.username.clone();
    let laptop = User { world: &world, id: phone.id, token: world.log_in(&username).await, username };
    let (phones, laptops, mut others) = (phone.socket().await, laptop.socket().await, other.socket().await);
    let path = "/auth/token/logoutall/";
    assert_eq!(phone.call(Method::POST, path, json!({})).await, (204.try_into().unwrap(), Value::Null));
    for (user, socket) in [(&phone, phones), (&laptop, laptops)] {
        assert_eq!(user.get("/auth/me/").await.1, json!({"detail": "Invalid token."}));
        socket.closed().await;
    }
    assert_eq!(phone.call(Method::POST, path, json!({})).await.0, 401);
    assert_eq!(others.ask(&json!({"action": "ping"})).await["type"], "pong");
    eventually("the tokens are deleted", async || tokens(&phone).await.is_empty()).await;
    let again = User { token: world.log_in(&phone.username).await, ..phone };
    assert_eq!(again.get("/auth/me/").await.0, 200);
}

/// Throttling does not reveal whether a username exists.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_usernames_are_throttled_alike() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut seen = Vec::new();
    for username in [user.username.as_str(), &unique("nobody")] {
        let mut statuses = Vec::new();
        for _ in 0..6 {
            statuses.push(log_in_from(&world, "192.0.2.1", username, "wrong").await);
        }
        // The sixth attempt starts a wait.
        let counters = world.items(&format!("ATTEMPTS#login#pair#192.0.2.1#{username}")).await;
        let is_blocked = |item: &HashMap<String, AttributeValue>| item.contains_key("blocked_until");
        seen.push((statuses, counters.len(), counters.iter().any(is_blocked)));
    }
    assert_eq!(seen, vec![(vec![400; 6], 1, true); 2]);
    let form = json!({"username": user.username, "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/token/login/").json(&form)).await.0, 200);
}
