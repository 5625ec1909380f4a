//! Tokens that are refused.

use ring::hmac;
use serde_json::{Value, json};

use super::{
    exchange,
    issuer::{Answer, Key, KeyServer, base64, claims, configured, now, trusting, unsigned},
    user,
};
use crate::world::{World, answer};

/// A token that is signed with a secret.
fn hs256(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = unsigned(header, claims);
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", base64(signature))
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_prove_nothing() {
    let (rsa, ec, stranger) = (Key::rs256(), Key::es256(), Key::es256());
    let keys = [rsa.jwk("rsa"), ec.jwk("ec")];
    let world = World::own(trusting(&[
        configured(json!({"keys": {"keys": keys}})),
        configured(json!({"issuer": "limited", "keys": {"keys": keys}, "limit_to_expiry": true})),
    ]))
    .await;
    let good = claims("anna", json!({}));
    let token = |more: Value| ec.token("ec", &claims("anna", more));
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        ec.token("ec", &claims)
    };
    let header = |algorithm: &str, id: &str| json!({"alg": algorithm, "kid": id});
    let whole = token(json!({}));
    let parts: Vec<&str> = whole.split('.').collect();
    let cases = [
        ("nothing of a token", "a.b.c".to_owned()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another's signature", stranger.token("ec", &good)),
        ("changed claims", format!("{}.{}.{}", parts[0], base64(claims("ben", json!({})).to_string()), parts[2])),
        ("alg none", format!("{}.", unsigned(&header("none", "ec"), &good))),
        ("alg None", format!("{}.", unsigned(&header("None", "ec"), &good))),
        ("HMAC with the public key", hs256(&header("HS256", "rsa"), &good, keys[0]["n"].as_str().unwrap().as_bytes())),
        ("HMAC named RS256", hs256(&header("RS256", "rsa"), &good, keys[0].to_string().as_bytes())),
        ("another algorithm of the key", rsa.token_with(&header("PS256", "rsa"), &good)),
        ("the algorithm of another key", ec.token_with(&header("RS256", "ec"), &good)),
        ("the name of another key", ec.token("rsa", &good)),
        ("an unknown key", ec.token("no", &good)),
        ("no key of several", ec.token_with(&json!({"alg": "ES256"}), &good)),
        ("a key in the header", stranger.token_with(&json!({"alg": "ES256", "jwk": stranger.jwk("ec")}), &good)),
        ("critical extensions", ec.token_with(&json!({"alg": "ES256", "kid": "ec", "crit": ["b64"]}), &good)),
        ("another issuer", token(json!({"iss": "https://id.example"}))),
        ("issuers as a list", token(json!({"iss": ["https://id.example/"]}))),
        ("another audience", token(json!({"aud": "shop"}))),
        ("no audience in the list", token(json!({"aud": ["shop", "chat2"]}))),
        ("an empty list of audiences", token(json!({"aud": []}))),
        ("without an issuer", without("iss")),
        ("without an audience", without("aud")),
        ("without a subject", without("sub")),
        ("without an end", without("exp")),
        ("an empty subject", token(json!({"sub": ""}))),
        ("a number as the subject", token(json!({"sub": 7}))),
        ("a long subject", token(json!({"sub": "x".repeat(256)}))),
        ("a text as its end", token(json!({"exp": (now() + 60).to_string()}))),
        ("a text as its beginning", token(json!({"nbf": "0"}))),
        ("valid later", token(json!({"nbf": now() + 120}))),
        ("issued in the future", token(json!({"iat": now() + 120}))),
        ("valid for 31 days", token(json!({"exp": now() + 31 * 24 * 3600}))),
        ("valid for ever", token(json!({"exp": u64::MAX}))),
        ("valid for longer than for ever", token(json!({"exp": 1e300}))),
        ("a negative end", token(json!({"exp": -1}))),
    ];
    for (what, token) in cases {
        let refused = exchange(&world, &token).await;
        assert_eq!((refused.0.as_u16(), refused.1), (401, json!({"detail": "Invalid token."})), "{what}");
    }
    for (what, token) in [
        ("beyond the leeway", token(json!({"exp": now() - 120}))),
        ("no time left", token(json!({"exp": now() - 10, "iss": "limited"}))),
        ("long ago", token(json!({"exp": 0}))),
    ] {
        let refused = exchange(&world, &token).await;
        assert_eq!((refused.0.as_u16(), refused.1), (401, json!({"detail": "The token has expired."})), "{what}");
    }
    for token in [whole, token(json!({"exp": now() - 30})), token(json!({"exp": (now() + 60) as f64 + 0.5}))] {
        user(&world, &token).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_token() {
    let world = World::own(trusting(&[configured(json!({"keys": {"keys": [Key::eddsa().jwk("a")]}}))])).await;
    for (body, problem) in [
        (json!({}), "This field is required."),
        (json!({"token": null}), "This field may not be null."),
        (json!({"token": ""}), "This field may not be blank."),
        (json!({"token": 7}), "Not a valid string."),
    ] {
        let (status, answer) = answer(world.request(reqwest::Method::POST, super::PATH).json(&body)).await;
        assert_eq!((status.as_u16(), answer), (400, json!({"token": [problem]})), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_tokens_are_throttled_by_address() {
    let key = Key::eddsa();
    let server = KeyServer::start(Answer::Keys(vec![key.jwk("a")])).await;
    let mut options = trusting(&[configured(json!({"jwks_url": server.url}))]);
    options.parameters.insert("AttemptsPerAddress".to_owned(), "3".to_owned());
    let world = World::own(options).await;
    // Those that are accepted do not count as refused.
    for _ in 0..6 {
        user(&world, &key.token("a", &claims("anna", json!({})))).await;
    }
    let mut refused = 0;
    while exchange(&world, "a.b.c").await.0 == 401 {
        refused += 1;
        assert!(refused < 50, "there is no end to it");
    }
    // The wait after the last free attempt is a second; another hour may have begun.
    assert!((3..=12).contains(&refused), "{refused}");
    assert_eq!(exchange(&world, &key.token("a", &claims("anna", json!({})))).await.0, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_found_at_the_start() {
    let options = trusting(&[configured(json!({"jwks_url": "http://id.example/jwks.json"}))]);
    let error = confab_cloud::Cloud::start(options).await.err().unwrap().to_string();
    assert!(error.contains("jwks_url must begin with https://"), "{error}");
}
