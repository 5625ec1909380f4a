//! `HEAD` wherever there is a `GET`, and the routes of accounts.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{
    Method, StatusCode,
    header::{CONTENT_LENGTH, DATE, HeaderMap},
};
use serde_json::json;

use crate::world::{World, answer, template};

#[test]
fn every_get_route_has_a_head_route_to_the_same_function() {
    let template = template();
    let mut routes: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for (function, resource) in template.body()["Resources"].as_object().unwrap() {
        for event in resource["Properties"]["Events"].as_object().into_iter().flat_map(|events| events.values()) {
            let properties = &event["Properties"];
            if let (Some(method), Some(path)) = (properties["Method"].as_str(), properties["Path"].as_str()) {
                routes.entry(method).or_default().insert((path, function));
            }
        }
    }
    assert!(routes["GET"].len() > 8);
    assert_eq!(routes["HEAD"], routes["GET"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_is_answered_as_get_without_a_body() {
    let world = World::any().await;
    let (user, stranger) = (world.user("anna").await, world.user("ben").await);
    let uri = user.start_chat().await;
    user.post(&uri, "hello").await;
    let chat = format!("/api/chats/{uri}/");
    let paths = ["members/", "messages/", "search/?q=hello", "export/"].map(|path| format!("{chat}{path}"));
    let paths: Vec<&str> = ["/auth/", "/auth/me/", "/auth/users/me/", "/api/chats/", &chat, "/nowhere/"]
        .into_iter()
        .chain(paths.iter().map(String::as_str))
        .collect();
    // Those differ from response to response.
    let same = |mut headers: HeaderMap| {
        for name in ["x-request-id", "apigw-requestid", DATE.as_str(), CONTENT_LENGTH.as_str()] {
            headers.remove(name);
        }
        headers
    };
    for path in paths {
        for caller in [&user, &stranger] {
            let [got, head] = [Method::GET, Method::HEAD].map(|method| caller.request(method, path).send());
            let (got, head) = (got.await.unwrap(), head.await.unwrap());
            assert_eq!(head.status(), got.status(), "{path}");
            assert_eq!(same(head.headers().clone()), same(got.headers().clone()), "{path}");
            assert!(head.headers().contains_key("x-request-id"), "{path}");
            assert_eq!(head.text().await.unwrap(), "", "{path}");
            assert_ne!(got.text().await.unwrap(), "", "{path}");
        }
    }
    let response = world.request(Method::HEAD, "/auth/me/").send().await.unwrap();
    assert_eq!(response.headers()["www-authenticate"], "Token");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = user.request(Method::HEAD, "/auth/password/").send().await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["allow"].to_str().unwrap()),
        (StatusCode::METHOD_NOT_ALLOWED, "POST")
    );
    let response = user.request(Method::POST, "/auth/me/").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "DELETE, GET, HEAD, PATCH, PUT");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_routes_of_accounts_are_listed() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let (status, routes) = answer(world.request(Method::GET, "/auth/")).await;
    assert_eq!((status, &routes["user"]), (StatusCode::OK, &json!("/auth/me")));
    for (name, path) in routes.as_object().unwrap() {
        // No endpoint has this method.
        let status = user.call(Method::TRACE, path.as_str().unwrap(), json!({})).await.0;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{name}");
    }
}
