//! Deleting an account, what is erased in the background, and the export of one's own data.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    identity::issuer::{Key, claims, configured},
    world::{PASSWORD, User, World, answer, eventually, options, unique},
};

/// Deletes an account, with other fields of the request.
async fn delete(user: &User<'_>, fields: Value) {
    let mut form = json!({"current_password": PASSWORD});
    form.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let deleted = user.call(Method::DELETE, "/auth/users/me/", form).await;
    assert_eq!(deleted, (StatusCode::NO_CONTENT, Value::Null));
}

/// Waits until nothing is left of a user but the mark that they join no chat any more.
async fn erased(world: &World, user: &User<'_>) {
    let id = user.id;
    eventually("the account is erased", || async move {
        let partitions = [format!("USER#{id}"), format!("TOKENS#{id}")];
        world.items(&partitions[0]).await.is_empty() && world.items(&partitions[1]).await.is_empty()
    })
    .await;
}

/// All lines of an export, page by page.
async fn export(user: &User<'_>) -> Vec<Value> {
    let (mut lines, mut path) = (Vec::new(), "/auth/users/me/export/".to_owned());
    loop {
        let response = user.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        let link = response.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        match link {
            Some(link) => path = link.trim_start_matches('<').split('>').next().unwrap().to_owned(),
            None => return lines,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_ends_at_once() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let uri = ben.start_chat().await;
    anna.join(&uri).await;
    anna.post(&uri, "I was here").await;
    let email = format!("{}@example.com", anna.username);
    assert_eq!(anna.call(Method::PATCH, "/auth/me/", json!({ "email": email })).await.0, 200);
    assert_eq!(world.items(&format!("EMAIL#{email}")).await.len(), 1);
    let socket = anna.subscribed(&uri).await;
    let mut heard = ben.subscribed(&uri).await;
    delete(&anna, json!({})).await;

    socket.closed().await;
    assert_eq!(anna.get("/auth/me/").await.0, 401);
    assert!(world.items(&format!("EMAIL#{email}")).await.is_empty());
    let form = json!({"username": anna.username, "password": PASSWORD});
    let login = answer(world.request(Method::POST, "/auth/token/create/").json(&form)).await;
    assert_eq!(login.1, json!({"non_field_errors": ["Unable to login with provided credentials."]}));
    // The name stays reserved, and leads to nobody.
    let taken = answer(world.request(Method::POST, "/auth/users/").json(&form)).await;
    assert_eq!(taken.0, 400);
    let invited = ben.call(Method::PATCH, &format!("/api/chats/{uri}/"), json!({"username": anna.username})).await;
    let expected = json!({"username": [format!("There is no user \"{}\".", anna.username)]});
    assert_eq!(invited, (StatusCode::BAD_REQUEST, expected));

    let left = heard.next_of("left").await;
    assert_eq!(left["user"]["id"], anna.id);
    erased(&world, &anna).await;
    let history = ben.history(&uri).await;
    assert_eq!(history[0]["message"], "I was here");
    let nobody = json!({"id": anna.id, "username": "", "email": "", "first_name": "", "last_name": ""});
    assert_eq!(history[0]["user"], nobody);
    let chat = ben.get(&format!("/api/chats/{uri}/")).await.1;
    assert_eq!(chat["member_count"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn erased_messages_are_deleted_everywhere_the_user_has_been() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let (now, before) = (ben.start_chat().await, ben.start_chat().await);
    for uri in [&now, &before] {
        anna.join(uri).await;
        for n in 0..3 {
            anna.post(uri, &format!("mine {n}")).await;
            ben.post(uri, &format!("theirs {n}")).await;
        }
    }
    let me = format!("/api/chats/{before}/members/{}/", anna.username);
    assert_eq!(anna.call(Method::DELETE, &me, Value::Null).await.0, 204);
    let mut heard = ben.subscribed(&now).await;
    delete(&anna, json!({"messages": "erase"})).await;
    for _ in 0..3 {
        assert_eq!(heard.next_of("deleted").await["user"]["id"], anna.id);
    }
    erased(&world, &anna).await;
    for uri in [&now, &before] {
        let history = ben.history(uri).await;
        assert_eq!(history.len(), 6);
        for message in history {
            let is_hers = message["user"]["id"] == anna.id;
            assert_eq!(message["message"] == "", is_hers, "{message}");
            assert_eq!(!message["delete_date"].is_null(), is_hers, "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_step_holds_is_erased_in_several() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let mut chats = Vec::new();
    for _ in 0..12 {
        let uri = ben.start_chat().await;
        anna.join(&uri).await;
        chats.push(uri);
    }
    for n in 0..60 {
        anna.post(&chats[0], &n.to_string()).await;
    }
    delete(&anna, json!({"messages": "erase"})).await;
    erased(&world, &anna).await;
    let history = ben.history(&chats[0]).await;
    assert_eq!(history.len(), 60);
    assert!(history.iter().all(|message| message["message"] == ""));
    for uri in chats {
        assert_eq!(ben.get(&format!("/api/chats/{uri}/")).await.1["member_count"], 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chats_of_an_owner_pass_on_and_empty_ones_are_removed() {
    let world = World::any().await;
    let (anna, ben, eve) = (world.user("anna").await, world.user("ben").await, world.user("eve").await);
    let (shared, own) = (anna.start_chat().await, anna.start_chat().await);
    ben.join(&shared).await;
    eve.join(&shared).await;
    for n in 0..3 {
        let id = anna.post(&own, &format!("to myself {n}")).await;
        let reaction = format!("/api/chats/{own}/messages/{id}/reactions/👍/");
        assert_eq!(anna.call(Method::PUT, &reaction, Value::Null).await.0, 200);
    }
    delete(&anna, json!({})).await;
    erased(&world, &anna).await;
    assert_eq!(ben.get(&format!("/api/chats/{shared}/")).await.1["owner"]["id"], ben.id);
    let join = json!({"username": ben.username});
    assert_eq!(ben.call(Method::PATCH, &format!("/api/chats/{own}/"), join).await.0, 404);
    for partition in ["CHAT#", "LOG#", "CURSOR#"] {
        assert!(world.items(&format!("{partition}{own}")).await.is_empty(), "{partition}");
    }
    assert!(world.items(&format!("REACTIONS#{own}#{}", anna.id)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_takes_the_password() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let call = async |method: Method, path: &str, form: Value| user.call(method, path, form).await;
    let wrong = json!({"current_password": "not-the-password"});
    for (method, path) in
        [(Method::DELETE, "/auth/users/me/"), (Method::DELETE, "/auth/me/"), (Method::POST, "/auth/users/delete/")]
    {
        let missing = call(method.clone(), path, json!({})).await;
        assert_eq!(missing, (StatusCode::BAD_REQUEST, json!({"current_password": ["This field is required."]})));
        let refused = call(method, path, wrong.clone()).await;
        assert_eq!(refused, (StatusCode::BAD_REQUEST, json!({"current_password": ["Invalid password."]})));
    }
    let form = json!({"current_password": PASSWORD, "messages": "burn"});
    let refused = call(Method::DELETE, "/auth/me/", form).await;
    assert_eq!(refused, (StatusCode::BAD_REQUEST, json!({"messages": ["\"burn\" is not a valid choice."]})));
    assert_eq!(user.get("/auth/me/").await.0, 200);
    delete(&user, json!({"messages": "keep"})).await;
}

/// A user who signs in elsewhere has no password here.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_deleting_takes_a_recent_login() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let update = async |pk: String, sk: &str, expression: &str, value: &str| {
        let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
        let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
        let update = update.key("pk", text(&pk)).key("sk", text(sk)).update_expression(expression);
        update.expression_attribute_values(":value", text(value)).send().await.unwrap();
    };
    update(format!("USER#{}", user.id), "PROFILE", "SET password_hash = :value", "!").await;
    let partition = format!("TOKENS#{}", user.id);
    let token = world.items(&partition).await[0]["sk"].as_s().unwrap().clone();
    let issued = world.items(&partition).await[0]["create_date"].as_s().unwrap().clone();
    update(partition.clone(), &token, "SET create_date = :value", "2020-01-01T00:00:00.000000Z").await;
    assert_eq!(user.call(Method::DELETE, "/auth/me/", json!({})).await.0, 403);
    update(partition, &token, "SET create_date = :value", &issued).await;
    assert_eq!(user.call(Method::DELETE, "/auth/me/", json!({})).await.0, 204);
}

/// The next login makes a new account.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_of_another_system_is_freed() {
    let key = Key::eddsa();
    let issuers = json!([configured(json!({"keys": {"keys": [key.jwk("a")]}}))]);
    let mut options = options();
    options.parameters.insert("IdentityIssuers".to_owned(), issuers.to_string());
    let world = World::own(options).await;
    let subject = unique("subject");
    let log_in = async || {
        let token = key.token("a", &claims(&subject, json!({})));
        answer(world.request(Method::POST, "/auth/token/exchange/").json(&json!({ "token": token }))).await
    };
    let token = log_in().await.1["auth_token"].as_str().unwrap().to_owned();
    let mut user = User { world: &world, username: String::new(), id: 0, token };
    user.id = user.get("/auth/me/").await.1["id"].as_u64().unwrap();
    assert_eq!(user.call(Method::POST, "/auth/users/delete/", json!({})).await.0, 204);
    erased(&world, &user).await;
    let token = log_in().await.1["auth_token"].as_str().unwrap().to_owned();
    let again = User { world: &world, username: String::new(), id: 0, token };
    assert_ne!(again.get("/auth/me/").await.1["id"], user.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_the_profile_the_chats_and_ones_own_messages() {
    let world = World::any().await;
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    let (own, left) = (anna.start_chat().await, ben.start_chat().await);
    anna.join(&left).await;
    ben.join(&own).await;
    let mut expected = Vec::new();
    for uri in [&own, &left] {
        ben.post(uri, "not mine").await;
        let id = anna.post(uri, &unique("mine \"quoted\"")).await;
        expected.push((uri.clone(), id));
    }
    let deleted = anna.post(&own, "deleted").await;
    assert_eq!(anna.call(Method::DELETE, &format!("/api/chats/{own}/messages/{deleted}/"), Value::Null).await.0, 204);
    expected.push((own.clone(), deleted));
    let me = format!("/api/chats/{left}/members/{}/", anna.username);
    assert_eq!(anna.call(Method::DELETE, &me, Value::Null).await.0, 204);

    let lines = export(&anna).await;
    assert_eq!((&lines[0]["type"], &lines[0]["username"]), (&json!("profile"), &json!(anna.username)));
    assert_eq!(lines.iter().filter(|line| line["type"] == "profile").count(), 1);
    let chats: Vec<_> = lines.iter().filter(|line| line["type"] == "chat").collect();
    let chat =
        |uri: &str| chats.iter().find(|line| line["uri"] == uri).map(|line| (&line["is_member"], &line["is_owner"]));
    assert_eq!(chats.len(), 2);
    assert_eq!(chat(&own), Some((&json!(true), &json!(true))));
    assert_eq!(chat(&left), Some((&json!(false), &json!(false))));
    let messages = lines.iter().filter(|line| line["type"] == "message");
    let mut found: Vec<(String, u64)> =
        messages.clone().map(|line| (line["uri"].as_str().unwrap().to_owned(), line["id"].as_u64().unwrap())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    assert!(messages.clone().all(|line| line["message"] != "not mine" && line["message"] != "deleted"));
    let wrong = anna.get("/auth/users/me/export/?chat=nope&after=x").await;
    assert_eq!(wrong.0, 400);
    assert_eq!(wrong.1.as_object().unwrap().keys().collect::<Vec<_>>(), ["after", "chat"]);
}

/// Sixty chats, and a log of more entries than a page reads.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_comes_in_pages_without_gaps_or_repeats() {
    let world = World::any().await;
    let user = world.user("anna").await;
    let mut chats = Vec::new();
    for _ in 0..60 {
        chats.push(user.start_chat().await);
    }
    let texts: Vec<String> = (0..5300).map(|n| n.to_string()).collect();
    user.write_log(&chats[0], &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let lines = export(&user).await;
    let mut uris: Vec<&str> =
        lines.iter().filter(|line| line["type"] == "chat").map(|line| line["uri"].as_str().unwrap()).collect();
    uris.sort_unstable();
    chats.sort();
    assert_eq!(uris, chats);
    let messages = lines.iter().filter(|line| line["type"] == "message");
    let messages: Vec<&str> = messages.map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, texts);
}
