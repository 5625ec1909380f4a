//! Mails of accounts: resetting a forgotten password, and activation. Needs separate laptop clouds.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::join_all;
use lambda_runtime::{Context, LambdaEvent};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{LINK_BASE, PASSWORD, World, answer, eventually, options, unique},
};

const NEW_PASSWORD: &str = "An0ther-pass-phrase";

/// A laptop cloud with these parameters besides those of all tests.
async fn with(parameters: &[(&str, &str)]) -> World {
    let mut options = options();
    options.parameters.extend(parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    World::own(options).await
}

async fn post(world: &World, path: &str, form: Value) -> (StatusCode, Value) {
    answer(world.request(Method::POST, path).json(&form)).await
}

async fn log_in(world: &World, username: &str, password: &str) -> StatusCode {
    post(world, "/auth/token/login/", json!({"username": username, "password": password})).await.0
}

/// Registers a user, who is not logged in.
async fn register(world: &World, username: &str, email: &str) -> Value {
    let form = json!({"username": username, "password": PASSWORD, "email": email});
    let (status, body) = post(world, "/auth/users/", form).await;
    assert_eq!(status, 201, "{body}");
    body
}

fn address() -> String {
    format!("{}@example.com", unique("anna"))
}

async fn request_reset(world: &World, email: &str) {
    let answered = post(world, "/auth/password/reset/", json!({"email": email})).await;
    assert_eq!(answered, (StatusCode::NO_CONTENT, Value::Null));
}

/// Waits for mails to an address, and returns them, the latest first.
async fn mails(world: &World, to: &str, count: usize) -> Vec<Value> {
    eventually("the mails come", async || world.mails(to).await.len() >= count).await;
    let mails = world.mails(to).await;
    assert_eq!(mails.len(), count, "{mails:?}");
    mails
}

/// The `uid` and the `token` of the link in a mail.
fn link(mail: &Value, view: &str) -> (String, String) {
    let (text, html) = (mail["text"].as_str().unwrap(), mail["html"].as_str().unwrap());
    let start = format!("{LINK_BASE}#/{view}/");
    let link = text.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("{text}"));
    assert!(html.contains(&format!("href=\"{link}\"")), "{html}");
    let (uid, token) = link[start.len()..].split_once('/').unwrap();
    (uid.to_owned(), token.to_owned())
}

async fn reset(world: &World, (uid, token): &(String, String), password: &str) -> (StatusCode, Value) {
    let form = json!({"uid": uid, "token": token, "new_password": password});
    post(world, "/auth/password/reset/confirm/", form).await
}

fn invalid_token() -> (StatusCode, Value) {
    (StatusCode::BAD_REQUEST, json!({"non_field_errors": ["Invalid token for given user."]}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_password_is_reset_with_a_mail() {
    let world = with(&[("ProductName", "Tea & Talk"), ("MailTokenHours", "2")]).await;
    let (user, email) = (world.user("anna").await, address());
    user.call(Method::PATCH, "/auth/me/", json!({"email": email})).await;
    let socket = user.socket().await;
    // Addresses are compared without regard to case; the mail goes to the one that the user has.
    request_reset(&world, &email.to_uppercase()).await;
    let mail = mails(&world, &email, 1).await.remove(0);
    assert_eq!(
        (&mail["from"], &mail["subject"]),
        (&json!("no-reply@chat.example"), &json!("Reset your password for Tea & Talk"))
    );
    let [text, html] = ["text", "html"].map(|part| mail[part].as_str().unwrap());
    assert!(text.contains(&user.username) && text.contains("within the next 2 hours"), "{text}");
    assert!(html.contains("Tea &amp; Talk") && !html.contains("<img") && !html.contains("src="), "{html}");

    let link = link(&mail, "reset-password");
    let weak = json!({"new_password": ["This password is too short. It must contain at least 8 characters."]});
    assert_eq!(reset(&world, &link, "s3cr-t").await, (StatusCode::BAD_REQUEST, weak));
    let (uid, token) = &link;
    let form = json!({"uid": uid, "token": token, "new_password": NEW_PASSWORD});
    assert_eq!(post(&world, "/auth/users/reset_password_confirm/", form).await.0, 204);
    socket.closed().await;
    assert_eq!(user.get("/auth/me/").await.0, 401, "all tokens are revoked");
    assert_eq!(log_in(&world, &user.username, PASSWORD).await, 400);
    assert_eq!(log_in(&world, &user.username, NEW_PASSWORD).await, 200);
    // The token works once.
    assert_eq!(reset(&world, &link, "Yet-an0ther-phrase").await, invalid_token());
    assert_eq!(log_in(&world, &user.username, NEW_PASSWORD).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_resets_with_one_token_change_the_password_once() {
    let world = with(&[]).await;
    let (name, email) = (unique("anna"), address());
    register(&world, &name, &email).await;
    request_reset(&world, &email).await;
    let link = link(&mails(&world, &email, 1).await[0], "reset-password");
    let passwords = ["Str0ng-one-phrase", "Str0ng-two-phrase", "Str0ng-three-phrase"];
    let answers = join_all(passwords.iter().map(|password| reset(&world, &link, password))).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 204).count(), 1, "{answers:?}");
    for (password, (status, _)) in passwords.iter().zip(&answers) {
        assert_eq!(log_in(&world, &name, password).await == 200, *status == 204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_of_one_user_purpose_epoch_and_address_and_expires() {
    let world = with(&[]).await;
    let (user, other, email) = (world.user("anna").await, world.user("ben").await, address());
    user.call(Method::PATCH, "/auth/me/", json!({"email": email})).await;
    request_reset(&world, &email).await;
    let (uid, token) = link(&mails(&world, &email, 1).await[0], "reset-password");
    assert_eq!(uid, base64(user.id));
    // The time is a part of the token, and of what is signed.
    let later = format!("{}-{}", "7fffffff", token.split_once('-').unwrap().1);
    for (uid, token) in
        [(base64(other.id), &token), (base64(999_999), &token), (uid.clone(), &later), (uid.clone(), &"y".to_owned())]
    {
        assert_eq!(reset(&world, &(uid, token.clone()), NEW_PASSWORD).await, invalid_token());
    }
    let wrong = json!({"uid": ["Invalid user id or user doesn't exist."]});
    assert_eq!(reset(&world, &("%".to_owned(), token.clone()), NEW_PASSWORD).await, (StatusCode::BAD_REQUEST, wrong));
    let activate = post(&world, "/auth/users/activate/", json!({"uid": uid, "token": token})).await;
    assert_eq!(activate, invalid_token());
    // The address that the mail went to is the user's no more.
    user.call(Method::PATCH, "/auth/me/", json!({"email": address()})).await;
    assert_eq!(reset(&world, &(uid.clone(), token.clone()), NEW_PASSWORD).await, invalid_token());
    user.call(Method::PATCH, "/auth/me/", json!({"email": email})).await;
    // A new password ends the token.
    let form = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    assert_eq!(user.call(Method::POST, "/auth/password/", form).await.0, 204);
    let (status, _) = reset(&world, &(uid, token), "Yet-an0ther-phrase").await;
    assert!([StatusCode::BAD_REQUEST, StatusCode::TOO_MANY_REQUESTS].contains(&status), "{status}");
    assert_eq!(log_in(&world, &user.username, NEW_PASSWORD).await, 200);
}

fn base64(id: u64) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(id.to_string())
}

/// Inactive users, and those without a usable password, get none, as in Django; everyone else with the address does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_is_sent_to_every_active_user_with_the_address() {
    let world = with(&[]).await;
    let email = address();
    let names = ["one", "two", "inactive", "federated"].map(unique);
    let mut ids = Vec::new();
    for name in &names {
        ids.push(register(&world, name, &email).await["id"].as_u64().unwrap());
    }
    set(&world, ids[2], "SET is_active = :value", AttributeValue::Bool(false)).await;
    set(&world, ids[3], "SET password_hash = :value", AttributeValue::S("!unusable".to_owned())).await;
    request_reset(&world, &email).await;
    let mails = mails(&world, &email, 2).await;
    let texts: Vec<&str> = mails.iter().map(|mail| mail["text"].as_str().unwrap()).collect();
    for (name, is_sent) in names.iter().zip([true, true, false, false]) {
        assert_eq!(texts.iter().filter(|text| text.contains(name)).count(), usize::from(is_sent), "{texts:?}");
    }
    // Resetting the password of an inactive user would not activate them.
    let (uid, token) =
        link(mails.iter().find(|mail| mail["text"].as_str().unwrap().contains(&names[0])).unwrap(), "reset-password");
    set(&world, ids[0], "SET is_active = :value", AttributeValue::Bool(false)).await;
    assert_eq!(reset(&world, &(uid, token), NEW_PASSWORD).await, invalid_token());
}

async fn set(world: &World, id: u64, expression: &str, value: AttributeValue) {
    let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
    let update = update.key("pk", AttributeValue::S(format!("USER#{id}")));
    let update = update.key("sk", AttributeValue::S("PROFILE".to_owned())).update_expression(expression);
    update.expression_attribute_values(":value", value).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn users_from_before_addresses_were_listed_are_found_after_their_next_login() {
    let world = with(&[]).await;
    let (name, email) = (unique("anna"), address());
    let id = register(&world, &name, &email).await["id"].as_u64().unwrap();
    let items = async || world.items(&format!("EMAIL#{email}")).await.len();
    set(&world, id, "SET is_listed = :value", AttributeValue::Bool(false)).await;
    world.delete(&format!("EMAIL#{email}"), &format!("{id:016}")).await;
    assert_eq!(items().await, 0);
    assert_eq!(log_in(&world, &name, "wrong").await, 400);
    assert_eq!(items().await, 0);
    assert_eq!(log_in(&world, &name, PASSWORD).await, 200);
    assert_eq!(items().await, 1);
    request_reset(&world, &email).await;
    mails(&world, &email, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_address_leads_to_its_user() {
    let world = with(&[]).await;
    let (user, old, new) = (world.user("anna").await, address(), address());
    let listed = async |email: &str| world.items(&format!("EMAIL#{email}")).await.len();
    for (email, expected) in [(&old, [1, 0]), (&new, [0, 1]), (&new.to_uppercase(), [0, 1]), (&String::new(), [0, 0])] {
        assert_eq!(user.call(Method::PATCH, "/auth/me/", json!({"email": email})).await.0, 200);
        assert_eq!([listed(&old).await, listed(&new).await], expected, "{email}");
    }
    // Concurrent changes leave one.
    let emails = [address(), address(), address()];
    let change = |email| user.call(Method::PATCH, "/auth/me/", json!({"email": email}));
    let answers = join_all(emails.iter().map(change)).await;
    assert!(answers.iter().all(|(status, _)| [200, 503].contains(&status.as_u16())), "{answers:?}");
    let email = user.get("/auth/me/").await.1["email"].clone();
    for each in &emails {
        assert_eq!(listed(each).await, usize::from(email == **each), "{each}");
    }
}

/// Neither the answer nor the calls behind it differ.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_does_not_tell_whether_an_address_has_a_user() {
    let (world, dynamodb, _) = Proxy::world().await;
    let (name, email) = (unique("anna"), address());
    register(&world, &name, &email).await;
    let mut seen = Vec::new();
    for (path, email) in ["/auth/password/reset/", "/auth/users/resend_activation/"]
        .into_iter()
        .flat_map(|path| [(path, email.clone()), (path, address())])
    {
        dynamodb.calls();
        assert_eq!(post(&world, path, json!({"email": email})).await, (StatusCode::NO_CONTENT, Value::Null));
        let calls = dynamodb.calls().into_iter().filter(|call| call.caller.starts_with("request-"));
        seen.push(calls.map(|call| call.operation).collect::<Vec<_>>());
    }
    assert!(seen.iter().all(|calls| *calls == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_flooded_with_mails() {
    let world = with(&[]).await;
    let email = address();
    register(&world, &unique("anna"), &email).await;
    let request = |email: String| post(&world, "/auth/users/reset_password/", json!({ "email": email }));
    let answers = join_all((0..12).map(|_| request(email.clone()))).await;
    let accepted = answers.iter().filter(|(status, _)| *status == 204).count();
    // Another hour may have begun.
    assert!([5, 10].contains(&accepted), "{answers:?}");
    assert!(answers.iter().all(|(status, _)| [204, 429].contains(&status.as_u16())), "{answers:?}");
    mails(&world, &email, accepted).await;
    // An address without a user has the same limit, and others are not concerned.
    let nobody = address();
    let answers = join_all((0..12).map(|_| request(nobody.clone()))).await;
    assert!([5, 10].contains(&answers.iter().filter(|(status, _)| *status == 204).count()), "{answers:?}");
    assert_eq!(request(address()).await.0, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_tokens_are_limited_per_source() {
    let world = with(&[("AttemptsPerAddress", "3")]).await;
    let answers = join_all((0..10).map(|_| post(&world, "/auth/password/reset/", json!({"email": address()})))).await;
    assert!(answers.iter().any(|(status, _)| *status == 429), "{answers:?}");
    let world = with(&[]).await;
    let guess = |id: u64| {
        let world = &world;
        async move { reset(world, &(base64(id), "y".to_owned()), NEW_PASSWORD).await.0.as_u16() }
    };
    let guesses = join_all((0..10).map(|_| guess(1))).await;
    assert!(guesses.contains(&429) && guesses.iter().filter(|status| **status == 400).count() <= 7, "{guesses:?}");
    assert_eq!(guess(2).await, 400, "another user is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_accounts_are_inactive_until_activated_where_that_is_required() {
    let world = with(&[("RequireActivation", "yes")]).await;
    let (name, email) = (unique("anna"), address());
    for form in
        [json!({"username": name, "password": PASSWORD}), json!({"username": name, "password": PASSWORD, "email": ""})]
    {
        let (status, problems) = post(&world, "/auth/users/", form).await;
        assert!(status == 400 && problems["email"].is_array(), "{problems}");
    }
    assert_eq!(register(&world, &name, &email).await["is_active"], false);
    let wrong = json!({"non_field_errors": ["Unable to login with provided credentials."]});
    let form = json!({"username": name, "password": PASSWORD});
    assert_eq!(post(&world, "/auth/token/login/", form).await, (StatusCode::BAD_REQUEST, wrong));
    let first = mails(&world, &email, 1).await.remove(0);
    assert!(first["subject"].as_str().unwrap().starts_with("Activate"), "{first}");
    // It can be sent once more.
    assert_eq!(post(&world, "/auth/users/resend_activation/", json!({"email": email})).await.0, 204);
    let second = mails(&world, &email, 2).await.remove(0);
    let [first, second] = [first, second].map(|mail| link(&mail, "activate"));
    // It is no token for a new password.
    assert_eq!(reset(&world, &first, NEW_PASSWORD).await, invalid_token());
    let activate = async |path: &str, (uid, token): &(String, String)| {
        post(&world, path, json!({"uid": uid, "token": token})).await
    };
    assert_eq!(activate("/auth/users/activation/", &second).await, (StatusCode::NO_CONTENT, Value::Null));
    for used in [&first, &second] {
        assert_eq!(activate("/auth/users/activate/", used).await, invalid_token());
    }
    assert_eq!(log_in(&world, &name, PASSWORD).await, 200);
    // An active account gets no such mail.
    for path in ["/auth/users/resend/", "/auth/password/reset/"] {
        assert_eq!(post(&world, path, json!({"email": email})).await.0, 204);
    }
    let mails = mails(&world, &email, 3).await;
    assert!(mails[0]["subject"].as_str().unwrap().starts_with("Reset"), "{mails:?}");
}

/// Whom an administrator deactivated, or who was imported as inactive, cannot activate themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_account_cannot_be_activated_by_mail() {
    let world = with(&[]).await;
    let (deactivated, email) = (unique("anna"), address());
    let id = register(&world, &deactivated, &email).await["id"].as_u64().unwrap();
    set(&world, id, "SET is_active = :value", AttributeValue::Bool(false)).await;
    register(&world, &unique("witness"), &email).await;
    assert_eq!(post(&world, "/auth/users/resend_activation/", json!({"email": email})).await.0, 204);
    request_reset(&world, &email).await;
    // The mail to the other user, whose job came later.
    let mail = mails(&world, &email, 1).await.remove(0);
    assert!(mail["subject"].as_str().unwrap().starts_with("Reset"), "{mail}");
    assert!(!mail["text"].as_str().unwrap().contains(&deactivated), "{mail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sender_the_endpoints_say_so_and_registration_works() {
    let paths = "password/reset users/reset_password password/reset/confirm users/reset_password_confirm \
                 users/reset_password/confirm users/activate users/activation users/resend users/resend_activation";
    let expected = json!({"detail": "This server sends no mail, since it is configured without a sender."});
    for parameters in [[("MailSender", "")], [("MailLinkBase", "")]] {
        let world = with(&parameters).await;
        for path in paths.split(' ') {
            let answered = post(&world, &format!("/auth/{path}/"), json!({"email": address()})).await;
            assert_eq!(answered, (StatusCode::NOT_IMPLEMENTED, expected.clone()), "{path}");
        }
        assert_eq!(register(&world, &unique("anna"), &address()).await["is_active"], true);
    }
    // Nobody could activate an account.
    let world = with(&[("MailSender", ""), ("RequireActivation", "yes")]).await;
    let form = json!({"username": unique("anna"), "password": PASSWORD, "email": address()});
    assert_eq!(post(&world, "/auth/users/", form).await, (StatusCode::NOT_IMPLEMENTED, expected));
}

/// A job that waited longer than its token would be valid is dropped; one that cannot be read is retried.
#[tokio::test(flavor = "multi_thread")]
async fn old_jobs_are_dropped() {
    let world = with(&[]).await;
    let (name, email) = (unique("anna"), address());
    register(&world, &name, &email).await;
    let send = async |job: &str| {
        let record = json!({"messageId": "1", "body": job, "attributes": {}});
        let mut environment = world.environment.clone();
        environment.extend(
            [("MAIL_SENDER", "no-reply@chat.example"), ("MAIL_LINK_BASE", LINK_BASE)]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let function = confab_functions::handler("send-mail", &environment).unwrap();
        let event = json!({"Records": [record]});
        let event = LambdaEvent::new(serde_json::value::to_raw_value(&event).unwrap(), Context::default());
        function(event).await.unwrap()["batchItemFailures"].as_array().unwrap().len()
    };
    let job = |age: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        json!({"purpose": "password_reset", "email": email, "requested": now - age}).to_string()
    };
    assert_eq!(send(&job(25 * 3600)).await, 0);
    assert_eq!(world.mails(&email).await.len(), 0);
    assert_eq!(send(&job(23 * 3600)).await, 0);
    assert_eq!(world.mails(&email).await.len(), 1);
    assert_eq!(send("no job").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_made_once_and_kept() {
    let world = with(&[]).await;
    let (name, email) = (unique("anna"), address());
    register(&world, &name, &email).await;
    assert_eq!(world.items("SECRET#mail").await.len(), 0);
    for count in 1..=3 {
        request_reset(&world, &email).await;
        mails(&world, &email, count).await;
    }
    let secrets = world.items("SECRET#mail").await;
    assert_eq!(secrets[0]["secret"].as_s().unwrap().len(), 64);
    // All links are valid, until one is used.
    let links: Vec<_> = world.mails(&email).await.iter().map(|mail| link(mail, "reset-password")).collect();
    assert_eq!(reset(&world, &links[2], NEW_PASSWORD).await.0, 204);
    assert_eq!(reset(&world, &links[0], NEW_PASSWORD).await, invalid_token());
}
