//! Logging in with a token of another system. Needs separate laptop clouds, which trust issuers of the tests.

mod accounts;
pub mod issuer;
mod refusals;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use self::issuer::{Answer, Key, KeyServer, claims, configured, now, trusting};
use crate::world::{User, World, answer, eventually, options};

const PATH: &str = "/auth/token/exchange/";

async fn exchange(world: &World, token: &str) -> (StatusCode, Value) {
    answer(world.request(Method::POST, PATH).json(&json!({ "token": token }))).await
}

/// The user whom a token logs in.
async fn user<'a>(world: &'a World, token: &str) -> User<'a> {
    let (status, body) = exchange(world, token).await;
    assert_eq!(status, 200, "{body}");
    let token = body["auth_token"].as_str().unwrap().to_owned();
    let mut user = User { world, username: String::new(), id: 0, token };
    let (status, profile) = user.get("/auth/me/").await;
    assert_eq!(status, 200, "{profile}");
    user.username = profile["username"].as_str().unwrap().to_owned();
    user.id = profile["id"].as_u64().unwrap();
    user
}

#[tokio::test(flavor = "multi_thread")]
async fn each_algorithm_with_keys_inline_and_at_an_address() {
    for key in [Key::rs256(), Key::es256(), Key::eddsa()] {
        let server = KeyServer::start(Answer::Keys(vec![json!({"kty": "oct", "k": "AA"}), key.jwk("a")])).await;
        let world = World::own(trusting(&[
            configured(json!({"jwks_url": server.url})),
            configured(json!({"issuer": "inline", "keys": {"keys": [key.jwk("a")]}})),
        ]))
        .await;
        let remote = user(&world, &key.token("a", &claims("anna", json!({})))).await;
        let again =
            user(&world, &key.token("a", &claims("anna", json!({"aud": ["x", "other"], "nbf": now() + 30})))).await;
        assert_eq!(again.id, remote.id, "{}", key.algorithm());
        // The only key need not be named.
        let header = json!({"alg": key.algorithm()});
        let inline = user(&world, &key.token_with(&header, &claims("anna", json!({"iss": "inline"})))).await;
        assert_ne!(inline.id, remote.id, "another issuer's users are others");
        assert_eq!(server.fetches(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_without_issuers_says_so() {
    let world = World::own(options()).await;
    for body in [json!({"token": Key::eddsa().token("a", &claims("anna", json!({})))}), json!({})] {
        let (status, body) = answer(world.request(Method::POST, PATH).json(&body)).await;
        let problem = "This deployment does not accept tokens of other systems.";
        assert_eq!((status.as_u16(), body), (501, json!({"detail": problem})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated() {
    let (old, new, unknown) = (Key::eddsa(), Key::es256(), Key::eddsa());
    let server = KeyServer::start(Answer::Keys(vec![old.jwk("old"), Key::eddsa().jwk("other")])).await;
    let world = World::own(trusting(&[configured(json!({"jwks_url": server.url}))])).await;
    let token = |key: &Key, id| key.token(id, &claims("anna", json!({})));
    let first = user(&world, &token(&old, "old")).await;
    server.answer(Answer::Keys(vec![new.jwk("new")])).await;
    assert_eq!(user(&world, &token(&new, "new")).await.id, first.id);
    assert_eq!(server.fetches(), 2);
    assert_eq!(exchange(&world, &token(&old, "old")).await.0, 401, "the old key is not trusted any more");
    for _ in 0..5 {
        assert_eq!(exchange(&world, &token(&unknown, "unknown")).await.0, 401);
    }
    assert_eq!(server.fetches(), 2, "unknown keys are searched once a minute");
    server.answer(Answer::Status(500)).await;
    assert_eq!(user(&world, &token(&new, "new")).await.id, first.id, "the keys are cached");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_fetched() {
    let key = Key::eddsa();
    let token = key.token("a", &claims("anna", json!({})));
    let honest = KeyServer::start(Answer::Keys(vec![key.jwk("a")])).await;
    let large = json!({"keys": [key.jwk("a")], "more": "x".repeat(200_000)}).to_string();
    for answer in [
        Answer::Status(404),
        Answer::Redirect(honest.url.clone()),
        Answer::Body(large),
        Answer::Body("{}".to_owned()),
        Answer::Body("<html>".to_owned()),
        Answer::Keys(vec![]),
        Answer::Keys(vec![json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"})]),
    ] {
        let server = KeyServer::start(answer).await;
        let world = World::own(trusting(&[configured(json!({"jwks_url": server.url}))])).await;
        assert_eq!(exchange(&world, &token).await.0, 503);
        assert_eq!(server.fetches(), 1);
        // After a pause it works without anyone's help.
        server.answer(Answer::Keys(vec![key.jwk("a")])).await;
        eventually("the keys are fetched", async || exchange(&world, &token).await.0 == 200).await;
        assert_eq!(honest.fetches(), 0, "redirects are not followed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_token_where_the_issuer_is_configured_so() {
    let key = Key::eddsa();
    let keys = json!({"keys": [key.jwk("a")]});
    let world = World::own(trusting(&[
        configured(json!({"keys": keys, "limit_to_expiry": true})),
        configured(json!({"issuer": "unlimited", "keys": keys})),
    ]))
    .await;
    let expiry = now() + 600;
    let limited = user(&world, &key.token("a", &claims("anna", json!({"exp": expiry})))).await;
    let unlimited = user(&world, &key.token("a", &claims("anna", json!({"exp": expiry, "iss": "unlimited"})))).await;
    let expires_at = async |user: &User<'_>| {
        let tokens = world.items(&format!("TOKENS#{}", user.id)).await;
        tokens.iter().map(|token| token["expires_at"].as_n().unwrap().parse::<u64>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(expires_at(&limited).await, [expiry]);
    assert!(expires_at(&unlimited).await[0] > expiry + 20 * 24 * 3600);
    // Use would extend it.
    world.expire_tokens(&limited, 300).await;
    assert_eq!(limited.get("/auth/me/").await.0, 200);
    assert!(expires_at(&limited).await[0] <= expiry);

    let soon = user(&world, &key.token("a", &claims("ben", json!({"exp": now() + 5})))).await;
    let mut socket = soon.socket().await;
    eventually("the token expires", async || soon.get("/auth/me/").await.0 == 401).await;
    assert_eq!(socket.ask(&json!({"action": "ping"})).await["status"], 401, "its sockets end, too");
}
