//! Least privilege: the functions' calls are recorded, and the template must grant each function exactly those.
//! With `UPDATE_POLICIES=1` the test writes them to the template. Needs a separate laptop cloud, behind recording proxies.

mod delivery;
mod hot_chats;
mod mail;
mod policies;

use std::{collections::BTreeSet, env, fs, path::Path};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use self::policies::Grant;
use crate::{
    identity::issuer::{Key, claims, configured},
    proxy::Proxy,
    world::{PASSWORD, User, World, answer, eventually, options, template, unique},
};

#[tokio::test(flavor = "multi_thread")]
async fn each_function_may_do_what_it_does_and_nothing_else() {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    let mut options = options();
    // What a function lacks is recorded, too.
    options.like_aws.permissions = false;
    // Limits that are looked at and not reached, and chats that are soon large.
    let limits =
        [("PostsPerMinute", "100000"), ("AttemptsPerAddress", "100000"), ("SocketsPerUser", "8"), ("LargeChat", "3")];
    options.parameters = limits.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let key = Key::eddsa();
    let issuers = json!([configured(json!({"keys": {"keys": [key.jwk("a")]}}))]);
    options.parameters.insert("IdentityIssuers".to_owned(), issuers.to_string());
    let world = Proxy::before_all(&services, options).await;
    let mailing = mail::Mailing::start().await;
    let [dynamodb, sns, sqs, sockets] = services.clone();
    dynamodb.inject(delivery::slow_writes);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let is_update = env::var_os("UPDATE_POLICIES").is_some();
    let granted = policies::granted();
    let (mut used, mut transactions) = (BTreeSet::new(), BTreeSet::new());
    let mut quiet_rounds = 0;
    let mut is_settled = false;
    for _ in 0..if is_update { MAX_UPDATE_ROUNDS } else { MAX_ROUNDS } {
        let known = used.len();
        everything(&world, &sns).await;
        identities(&world, &key).await;
        hot_chats::hot_chats(&world).await;
        ends(&world).await;
        deletions(&world).await;
        delivery::erasures(&world, &services).await;
        delivery::large_chats_and_slow_consumers(&world, &services).await;
        delivery::groups_that_fail_or_hang(&world, &services).await;
        tokens_live_on(&world).await;
        delivery::interrupted_registrations(&world, &dynamodb).await;
        mailing.accounts().await;
        used.append(&mut policies::for_table(dynamodb.calls(), &mut transactions));
        used.append(&mut policies::for_other_services(&sns, &sqs, &sockets));
        used.append(&mut mailing.grants(&mut transactions));
        quiet_rounds = if used.len() == known { quiet_rounds + 1 } else { 0 };
        let is_complete = granted.is_subset(&used);
        let needed = if is_complete { QUIET_ROUNDS } else { QUIET_ROUNDS_BEFORE_REMOVAL };
        is_settled = if is_update { quiet_rounds >= needed } else { used == granted };
        if is_settled {
            break;
        }
    }
    let expected = policies::written(&text, &used);
    if is_update {
        assert!(is_settled, "the last rounds still brought new calls");
        fs::write(&path, expected).unwrap();
        return;
    }
    let lines = |grants: BTreeSet<Grant>| grants.iter().map(|grant| format!("{grant:?}\n")).collect::<String>();
    assert!(
        used == granted && text == expected,
        "The policies in template.yaml differ from what the functions call.\n\
         Granted and not used:\n{}Used and not granted:\n{}To write them: {COMMAND}",
        lines(&granted - &used),
        lines(&used - &granted),
    );
}

const COMMAND: &str = "UPDATE_POLICIES=1 cargo test -p confab-tests --test it permissions";
/// The loser of a race needs more than the winner, so some rounds may pass until everything has happened.
const MAX_ROUNDS: usize = 10;
/// An update ends after this many rounds without a new call.
const QUIET_ROUNDS: usize = 5;
/// It removes a permission only after this many: it may be one that only a rare race needs.
const QUIET_ROUNDS_BEFORE_REMOVAL: usize = 12;
const MAX_UPDATE_ROUNDS: usize = 40;

/// The id of the first message of a chat that has not been deleted.
async fn first_message(user: &User<'_>, uri: &str) -> Value {
    let history = user.history(uri).await;
    history.iter().find(|message| message["delete_date"].is_null()).unwrap()["id"].clone()
}

/// Whatever can be done, done once.
async fn everything(world: &World, sns: &Proxy) {
    let (anna, ben) = (world.user("anna").await, world.user("ben").await);
    accounts(world, &anna).await;
    let uri = anna.start_chat().await;
    let path = format!("/api/chats/{uri}/");
    let messages = format!("{path}messages/");
    let mut witness = anna.subscribed(&uri).await;
    ben.join(&uri).await;
    // Crowds, so that some lose their race.
    let guests = join_all((0..6).map(|_| world.user("guest"))).await;
    join_all(guests.iter().map(|guest| guest.call(Method::PATCH, &path, json!({"username": guest.username})))).await;
    join_all((0..12).map(|n| ben.call(Method::POST, &messages, json!({"message": n.to_string()})))).await;
    let keyed = anna.request(Method::POST, &messages).header("Idempotency-Key", "k").json(&json!({"message": "keyed"}));
    for again in [keyed.try_clone().unwrap(), keyed] {
        assert!(again.send().await.unwrap().status().is_success());
    }
    // Concurrent requests with one key: the losers of the race read what the winner has posted.
    let raced =
        || anna.request(Method::POST, &messages).header("Idempotency-Key", "r").json(&json!({"message": "raced"}));
    for answer in join_all((0..6).map(|_| raced().send())).await {
        assert!(answer.unwrap().status().is_success());
    }
    anna.call(Method::PATCH, &path, json!({"usernames": [anna.username, unique("nobody")]})).await;
    let others = [world.user("x").await, world.user("y").await];
    anna.call(Method::PATCH, &path, json!({"usernames": [others[0].username, others[1].username]})).await;
    anna.get(&path).await;
    anna.history(&uri).await;
    anna.get("/api/chats/").await;
    for id in [1, 2, 1, 100_000] {
        anna.call(Method::PUT, &format!("{path}read/"), json!({"id": id})).await;
    }
    anna.call(Method::DELETE, &path, Value::Null).await;
    message_changes(&anna, &ben, &uri).await;
    // With messages that were deleted since the marker was set, which the counts do not tell apart.
    anna.get("/api/chats/").await;
    anna.get(&format!("{path}members/")).await;

    let mut socket = ben.socket().await;
    for frame in [
        json!({"action": "subscribe", "uri": uri, "after": 0}),
        json!({"action": "subscribe", "uri": uri}),
        json!({"action": "unsubscribe", "uri": uri}),
        json!({"action": "subscribe", "chats": [{"uri": uri}, {"uri": "nope"}]}),
        json!({"action": "send", "uri": uri, "message": "keyed", "key": "k"}),
        json!({"action": "read", "uri": uri, "id": 2}),
        json!({"action": "read", "uri": uri, "id": 100_000}),
        json!({"action": "typing", "uri": "nope"}),
        json!({"action": "ping"}),
        json!({"action": "fly"}),
    ] {
        socket.send(&frame).await;
        let expected = match frame["action"].as_str().unwrap() {
            "subscribe" if frame["chats"].is_array() => "subscriptions",
            "subscribe" => "subscribed",
            "unsubscribe" => "unsubscribed",
            "send" => "sent",
            "read" if frame["id"] == 2 => "read",
            "ping" => "pong",
            _ => "error",
        };
        socket.next_of(expected).await;
    }
    for frame in [
        json!({"action": "send", "uri": uri, "message": "keyed", "key": "k"}),
        json!({"action": "send", "uri": uri, "message": "a reply", "reply_to": first_message(&anna, &uri).await}),
    ] {
        socket.send(&frame).await;
        socket.next_of("sent").await;
    }
    for _ in 0..6 {
        socket.send(&json!({"action": "send", "uri": uri, "message": "raced", "key": "s"})).await;
    }
    for _ in 0..6 {
        socket.next_of("sent").await;
    }
    socket.send(&json!({"action": "typing", "uri": uri})).await;
    witness.next_of("typing").await;
    for n in 0..12 {
        socket.send(&json!({"action": "send", "uri": uri, "message": n.to_string()})).await;
    }
    for _ in 0..12 {
        socket.next_of("sent").await;
    }
    let token = format!("Token {}", ben.token);
    world.open(&format!("?uri={uri}"), &[("authorization", &token)]).await.unwrap().close().await;

    // The fan-out reads the log where a notification is lost, looks how far it is where one is about nothing, and puts away
    // what it does not understand.
    sns.refuse(|call| call.operation == "Publish");
    anna.call(Method::POST, &messages, json!({"message": "lost"})).await;
    sns.refuse(|_| false);
    anna.post(&uri, "found").await;
    world.publish(&uri, &json!({"uri": uri, "type": "message", "id": 100_000}).to_string()).await;
    world.publish(&uri, &unique("poison")).await;
    ben.leave_stale_connection(&uri).await;
    anna.post(&uri, "the end").await;
    witness.until("the end").await;
    for user in [&ben, &anna] {
        user.socket().await;
    }
    assert_eq!(ben.call(Method::POST, "/auth/token/logout/", Value::Null).await.0, 204);
    drop(socket);
}

/// Whatever can be done to a message, also in a crowd, so that some lose their race.
async fn message_changes(anna: &User<'_>, ben: &User<'_>, uri: &str) {
    let id = ben.post(uri, "first").await;
    let path = &format!("/api/chats/{uri}/messages/{id}/");
    let reaction = &format!("{path}reactions/👍/");
    let reply = json!({"message": "reply", "reply_to": id});
    assert_eq!(ben.call(Method::POST, &format!("/api/chats/{uri}/messages/"), reply).await.0, 200);
    join_all((0..8).map(|n| ben.call(Method::PATCH, path, json!({"message": n.to_string()})))).await;
    join_all((0..12).map(|n| {
        let method = if n % 2 == 0 { Method::PUT } else { Method::DELETE };
        anna.call(method, reaction, Value::Null)
    }))
    .await;
    // Each with another emoji, so that none is refused for having been done already.
    let reactions = ["🎉", "😀", "🚀", "🌍", "🍕", "🐙"].map(|emoji| format!("{path}reactions/{emoji}/"));
    let react = reactions.iter().flat_map(|path| [anna, ben].map(|user| user.call(Method::PUT, path, Value::Null)));
    join_all(react).await;
    // A user who is shown a message with reactions reads their own.
    assert_eq!(ben.call(Method::PATCH, path, json!({"message": "edited with reactions"})).await.0, 200);
    let last = ben.post(uri, "last").await;
    let reaction_to_last = format!("/api/chats/{uri}/messages/{last}/reactions/👍/");
    assert_eq!(anna.call(Method::PUT, &reaction_to_last, Value::Null).await.0, 200);
    anna.history(uri).await;
    anna.get("/api/chats/").await;
    anna.get(&format!("/api/chats/{uri}/search/?q=edited")).await;
    anna.get(&format!("/api/chats/{uri}/search/?q=reply")).await;
    anna.get(&format!("/api/chats/{uri}/export/")).await;
    let mut socket = ben.socket().await;
    for round in 0..12 {
        socket.send(&json!({"action": "edit", "uri": uri, "id": id, "message": format!("edit {round}")})).await;
        socket.send(&json!({"action": "react", "uri": uri, "id": id, "emoji": "👍", "remove": round % 2 == 1})).await;
    }
    for _ in 0..24 {
        socket.next_of("done").await;
    }
    let more = join_all((0..12).map(|n| ben.post(uri, if n % 2 == 0 { "by HTTP" } else { "by a socket" }))).await;
    // To different messages at once: they contend for the log only.
    let thumbs: Vec<String> = more.iter().map(|id| format!("/api/chats/{uri}/messages/{id}/reactions/👍/")).collect();
    join_all(thumbs.iter().flat_map(|path| [anna, ben].map(|user| user.call(Method::PUT, path, Value::Null)))).await;
    let (by_http, by_socket): (Vec<u64>, Vec<u64>) = more.iter().partition(|id| *id % 2 == 0);
    for id in &by_socket {
        socket.send(&json!({"action": "delete", "uri": uri, "id": id})).await;
    }
    let paths: Vec<String> = by_http.iter().map(|id| format!("/api/chats/{uri}/messages/{id}/")).collect();
    join_all(paths.iter().map(|path| ben.call(Method::DELETE, path, Value::Null))).await;
    for _ in &by_socket {
        socket.next_of("done").await;
    }
    assert_eq!(anna.call(Method::DELETE, path, Value::Null).await.0, 204);
}

/// Leaving, and rights that end without anybody's doing what should follow: the stream sees to that.
async fn ends(world: &World) {
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    let member = &|user: &User<'_>| format!("/api/chats/{uri}/members/{}/", user.username);
    guest.join(&uri).await;
    let mut heard = guest.subscribed(&uri).await;
    let crowd = join_all((0..6).map(|_| world.user("crowd"))).await;
    for user in &crowd {
        user.join(&uri).await;
    }
    join_all(crowd.iter().map(|user| async move { user.call(Method::DELETE, &member(user), Value::Null).await })).await;
    assert_eq!(owner.call(Method::DELETE, &member(&guest), Value::Null).await.0, 204);
    heard.next_of("unsubscribed").await;
    assert_eq!(owner.call(Method::DELETE, &member(&guest), Value::Null).await.0, 404);
    let given = format!("/api/chats/{uri}/");
    assert_eq!(owner.call(Method::PATCH, &given, json!({"owner": crowd[0].username})).await.0, 400);
    // Of users from before, it is counted only now how many chats they are in.
    let uncount = async |user: &User<'_>| world.delete(&format!("MEMBERSHIPS#{}", user.id), "COUNT").await;
    uncount(&guest).await;
    let own = guest.start_chat().await;
    uncount(&owner).await;
    owner.join(&own).await;
    uncount(&guest).await;
    let own = format!("/api/chats/{own}/members/{}/", guest.username);
    assert_eq!(guest.call(Method::DELETE, &own, Value::Null).await.0, 204);
    guest.join(&uri).await;
    let mut heard = guest.subscribed(&uri).await;
    world.delete(&format!("CHAT#{uri}"), &format!("MEMBER#{}", guest.id)).await;
    heard.next_of("unsubscribed").await;
    guest.subscribed(&guest.start_chat().await).await;
    for token in world.items(&format!("TOKENS#{}", guest.id)).await {
        world.delete(token["pk"].as_s().unwrap(), token["sk"].as_s().unwrap()).await;
    }
    heard.closed().await;
}

/// Accounts that end: of an owner of chats, with and without others in them, and with messages to erase.
async fn deletions(world: &World) {
    for messages in ["keep", "erase"] {
        let (leaver, other) = (world.user("leaver").await, world.user("other").await);
        let (shared, own) = (leaver.start_chat().await, leaver.start_chat().await);
        other.join(&shared).await;
        let socket = leaver.subscribed(&shared).await;
        for uri in [&shared, &own] {
            let id = leaver.post(uri, "mine").await;
            let reaction = format!("/api/chats/{uri}/messages/{id}/reactions/👍/");
            assert_eq!(leaver.call(Method::PUT, &reaction, Value::Null).await.0, 200);
        }
        world.heat(&shared).await;
        assert_eq!(leaver.get("/auth/users/me/export/").await.0, 200);
        // Of users from before, it is counted only now how many chats they are in.
        world.delete(&format!("MEMBERSHIPS#{}", leaver.id), "COUNT").await;
        let form = json!({"current_password": PASSWORD, "messages": messages});
        assert_eq!(leaver.call(Method::DELETE, "/auth/me/", form).await.0, 204);
        socket.closed().await;
        erased(world, &leaver).await;
    }
}

async fn erased(world: &World, user: &User<'_>) {
    eventually("the account is erased", || async { world.items(&format!("USER#{}", user.id)).await.is_empty() }).await;
}

/// Whatever is asked with a token that has not been used for long extends it.
async fn tokens_live_on(world: &World) {
    let template = template();
    for resource in template.body()["Resources"].as_object().unwrap().values() {
        for event in resource["Properties"]["Events"].as_object().into_iter().flat_map(|events| events.values()) {
            let user = world.user("anna").await;
            world.expire_tokens(&user, 24 * 3600).await;
            let method = event["Properties"]["Method"].as_str().unwrap_or("TRACE");
            let path = event["Properties"]["Path"].as_str().unwrap_or("/nowhere").replace(['{', '}'], "");
            if event["Type"] == "HttpApi" {
                user.call(method.parse().unwrap(), &path, json!({})).await;
            }
        }
    }
    let user = world.user("anna").await;
    world.expire_tokens(&user, 24 * 3600).await;
    let mut socket = user.socket().await;
    for action in ["subscribe", "send", "edit", "delete", "react", "read", "typing", "ping"] {
        world.expire_tokens(&user, 24 * 3600).await;
        socket.ask(&json!({"action": action, "uri": "0123456789abcde", "id": 1, "message": "x"})).await;
    }
}

async fn accounts(world: &World, user: &User<'_>) {
    let path = "/auth/me/";
    // Who shows a token where none is needed is looked at all the same.
    for path in ["/auth/users/create/", "/auth/token/create/", "/auth/token/exchange/"] {
        assert_eq!(user.call(Method::POST, path, json!({})).await.0, 400);
    }
    user.call(Method::PATCH, path, json!({"first_name": "A"})).await;
    for name in ["a", "b"] {
        user.call(Method::PATCH, path, json!({"email": format!("{}@example.com", unique(name))})).await;
    }
    let other = User { world, username: user.username.clone(), id: user.id, token: world.log_in(&user.username).await };
    let uri = other.start_chat().await;
    let socket = other.subscribed(&uri).await;
    // A hash of Django's, for the password that all have here, is replaced when its user logs in.
    let update = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let update = update.key("pk", text(format!("USER#{}", user.id))).key("sk", text("PROFILE".to_owned()));
    let update = update.update_expression("SET password_hash = :hash");
    update.expression_attribute_values(":hash", text(DJANGO.to_owned())).send().await.unwrap();
    user.add_old_tokens(60).await;
    world.log_in(&user.username).await;
    let form = json!({"current_password": PASSWORD, "new_password": "An0ther-pass-phrase"});
    assert_eq!(user.call(Method::POST, "/auth/password/", form).await.0, 204);
    socket.closed().await;
    let (_, list) = user.get("/auth/tokens/").await;
    assert_eq!(list["tokens"][0]["current"], true, "{list}");
    let others = async || User {
        world,
        username: user.username.clone(),
        id: user.id,
        token: answer(
            world
                .request(Method::POST, "/auth/token/create/")
                .json(&json!({"username": user.username, "password": "An0ther-pass-phrase"})),
        )
        .await
        .1["auth_token"]
            .as_str()
            .unwrap()
            .to_owned(),
    };
    let other = others().await;
    let socket = other.subscribed(&uri).await;
    let (_, list) = other.get("/auth/tokens/").await;
    let id = list["tokens"].as_array().unwrap().iter().find(|token| token["current"] == true).unwrap()["id"].as_str();
    assert_eq!(user.call(Method::DELETE, &format!("/auth/tokens/{}/", id.unwrap()), Value::Null).await.0, 204);
    socket.closed().await;
    let socket = others().await.subscribed(&uri).await;
    assert_eq!(user.call(Method::DELETE, "/auth/tokens/", Value::Null).await.0, 204);
    socket.closed().await;
    let leaver = world.user("leaver").await;
    let socket = leaver.subscribed(&leaver.start_chat().await).await;
    let form = json!({"current_password": PASSWORD, "new_username": unique("renamed")});
    assert_eq!(leaver.call(Method::POST, "/auth/username/", form).await.0, 204);
    assert_eq!(leaver.call(Method::POST, "/auth/token/logoutall/", Value::Null).await.0, 204);
    socket.closed().await;
}

/// Users of another system, the first time, again, and with another name; some at the same time.
async fn identities(world: &World, key: &Key) {
    let subject = unique("subject");
    let exchange = async |more: Value| {
        let token = key.token("a", &claims(&subject, more));
        answer(world.request(Method::POST, "/auth/token/exchange/").json(&json!({ "token": token }))).await
    };
    for (status, body) in join_all((0..6).map(|_| exchange(json!({})))).await {
        assert_eq!(status, 200, "{body}");
    }
    let (_, body) = exchange(json!({"given_name": "Anna"})).await;
    let token = body["auth_token"].as_str().unwrap().to_owned();
    let mut user = User { world, username: String::new(), id: 0, token };
    user.id = user.get("/auth/me/").await.1["id"].as_u64().unwrap();
    user.add_old_tokens(60).await;
    assert_eq!(exchange(json!({})).await.0, 200);
    for name in ["first", "second"] {
        assert_eq!(exchange(json!({"email": format!("{name}-{subject}@example.com")})).await.0, 200);
    }
    let (_, body) = exchange(json!({})).await;
    user.token = body["auth_token"].as_str().unwrap().to_owned();
    assert_eq!(user.call(Method::POST, "/auth/users/delete/", json!({})).await.0, 204);
    erased(world, &user).await;
}

const DJANGO: &str = "pbkdf2_sha256$2000$salty$yNB6v+bcC6Ila0qhHhrHfit3kvWswaRV/ghJA2ClOPU=";
