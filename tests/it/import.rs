//! `confab import` as a process, with exports of the Django application. Its ids start at 1, so each test needs a
//! separate laptop cloud.

use std::{
    collections::HashMap,
    path::Path,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use confab_cloud::Options;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{process::Command, sync::Notify};

use crate::{
    proxy::{Fault, Proxy},
    world::{PASSWORD, User, World, answer, options},
};

const URI: &str = "040213b14a02451";
const OTHER_URI: &str = "5d1f0c9a7b3e284";

type Item = HashMap<String, AttributeValue>;

fn dump() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/django.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The object of a dump.
fn object<'a>(dump: &'a mut Value, model: &str, pk: u64) -> &'a mut Value {
    let mut objects = dump.as_array_mut().unwrap().iter_mut();
    objects.find(|object| object["model"] == model && object["pk"] == pk).unwrap()
}

/// The command for importing a dump, and the file that holds the dump.
fn command(world: &World, dump: &Value) -> (Command, NamedTempFile) {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(&file, dump.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab-under-test"));
    command.arg("import").arg(file.path()).envs(&world.environment).kill_on_drop(true);
    (command, file)
}

/// Imports a dump, and returns what was printed, as an error if it failed.
async fn import(world: &World, dump: &Value) -> Result<String, String> {
    let (mut command, _file) = command(world, dump);
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    let (printed, errors) = (text(output.stdout), text(output.stderr));
    if output.status.success() { Ok(printed) } else { Err(errors) }
}

async fn log_in<'a>(world: &'a World, username: &str, id: u64) -> User<'a> {
    User { world, username: username.to_owned(), id, token: world.log_in(username).await }
}

/// All items of the table, by key.
async fn table(world: &World) -> Vec<(String, Item)> {
    let scan = world.dynamodb().scan().table_name(world.variable("TABLE_NAME")).consistent_read(true);
    let mut items = Vec::new();
    let mut pages = scan.into_paginator().items().send();
    while let Some(item) = pages.try_next().await.unwrap() {
        items.push((format!("{} {}", item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap()), item));
    }
    items.sort_by(|(a, _), (b, _)| a.cmp(b));
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_users_and_chats_can_be_used() {
    let world = World::own(options()).await;
    let report = import(&world, &dump()).await.unwrap();
    let expected = "Written: 3 users, 2 chats, 4 members, 5 messages. Already there: 0 users, 0 chats. \
                    Skipped: 1 authtoken.token. Without a password that Confab can check: 1 users.";
    assert_eq!(report, expected);

    let (danidee, daniel) = (log_in(&world, "danidee", 1).await, log_in(&world, "daniel", 2).await);
    let me = json!({"id": 1, "username": "danidee", "email": "osaetindaniel@gmail.com", "first_name": "Daniel", "last_name": ""});
    assert_eq!(danidee.get("/auth/me/").await.1, me);
    let form = json!({ "username": "eve", "password": PASSWORD });
    assert_eq!(answer(world.request(Method::POST, "/auth/token/create/").json(&form)).await.0, 400);

    let (_, chats) = daniel.get("/api/chats/").await;
    let shown =
        |chat: &Value| ["id", "uri", "last_id", "read_id", "unread", "member_count"].map(|name| chat[name].clone());
    let listed: Vec<_> = chats["chats"].as_array().unwrap().iter().map(shown).collect();
    let expected = [json!([4, OTHER_URI, 3, 3, 0, 2]), json!([1, URI, 4, 4, 0, 2])];
    assert_eq!(json!(listed), json!(expected));
    let (_, chat) = daniel.get(&format!("/api/chats/{URI}/")).await;
    assert_eq!((&chat["owner"], &chat["members"][0]["id"], &chat["members"][1]["id"]), (&me, &json!(1), &json!(2)));
    assert_eq!(
        (&chat["read"], &chat["create_date"]),
        (&json!({"1": 4, "2": 4}), &json!("2018-03-01T12:00:00.123000Z"))
    );

    let fields = |message: Value| ["id", "message", "create_date"].map(|name| message[name].clone());
    let history = |messages: Vec<Value>| json!(messages.into_iter().map(fields).collect::<Vec<_>>());
    let expected = json!([
        [2, "Hello there!", "2018-03-01T12:02:00.001000Z"],
        [3, "Hey whatsup!", "2018-03-01T12:02:00.001000Z"],
        [4, "", "2018-03-01T12:04:00.000000Z"],
    ]);
    assert_eq!(history(danidee.history(URI).await), expected);
    let other = history(danidee.history(OTHER_URI).await);
    let expected = json!([
        [2, "nothing\0to see", "2018-03-01T13:20:00.000000Z"],
        [3, "x".repeat(2001), "2018-03-01T13:30:00.000000Z"],
    ]);
    assert_eq!(other, expected);

    let mut socket = danidee.subscribed(URI).await;
    assert_eq!(daniel.post(URI, "still here").await, 5);
    let received = socket.next().await;
    assert_eq!(
        (&received["id"], &received["message"], &received["user"]["id"]),
        (&json!(5), &json!("still here"), &json!(2))
    );
    let recovered = danidee.socket().await.subscribe(URI, 0).await;
    let entries: Vec<_> =
        recovered["entries"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    assert_eq!(entries, ["joined", "message", "message", "message", "message"]);
    // Imported messages behave like new ones.
    let old = format!("/api/chats/{URI}/messages/3/");
    assert_eq!(danidee.call(Method::PUT, &format!("{old}reactions/👍/"), Value::Null).await.0, 200);
    assert_eq!(daniel.call(Method::PATCH, &old, json!({"message": "Hey, what's up?"})).await.0, 200);
    let (_, found) = danidee.get(&format!("/api/chats/{URI}/search/?q=what")).await;
    let message = &found["messages"][0];
    assert_eq!((&message["message"], &message["reactions"][0]["count"]), (&json!("Hey, what's up?"), &json!(1)));

    let path = format!("/api/chats/{OTHER_URI}/members/danidee/");
    assert_eq!(daniel.call(Method::DELETE, &path, Value::Null).await.0, 204);

    // New ids follow the imported ones.
    let newcomer = world.user("newcomer").await;
    assert_eq!(newcomer.id, 6);
    let uri = newcomer.start_chat().await;
    assert_eq!(newcomer.get(&format!("/api/chats/{uri}/")).await.1["id"], 5);

    let before = table(&world).await;
    let again = import(&world, &dump()).await.unwrap();
    assert!(
        again.starts_with("Written: 0 users, 0 chats, 0 members, 0 messages. Already there: 3 users, 2 chats."),
        "{again}"
    );
    assert_eq!(table(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn imported_messages_are_not_published() {
    let world = World::own(options()).await;
    let (sqs, sns) = (world.sqs(), world.sns());
    let create = sqs.create_queue().queue_name("listener.fifo").attributes(QueueAttributeName::FifoQueue, "true");
    let queue_url = create.send().await.unwrap().queue_url.unwrap();
    let attributes = sqs.get_queue_attributes().queue_url(&queue_url).attribute_names(QueueAttributeName::QueueArn);
    let arn = attributes.send().await.unwrap().attributes.unwrap()[&QueueAttributeName::QueueArn].clone();
    let subscribe = sns.subscribe().topic_arn(world.variable("TOPIC_ARN")).protocol("sqs").endpoint(&arn);
    subscribe.attributes("RawMessageDelivery", "true").send().await.unwrap();

    import(&world, &dump()).await.unwrap();
    // An entry whose function was cut off before publishing is behind the others in the stream and in its message
    // group.
    let mut entry = world.items(&format!("LOG#{URI}")).await.pop().unwrap();
    assert_eq!(entry.remove("imported"), Some(AttributeValue::Bool(true)));
    entry.insert("sk".to_owned(), AttributeValue::S(format!("{:016}", 5)));
    entry.insert("message".to_owned(), AttributeValue::S("news".to_owned()));
    let put = world.dynamodb().put_item().table_name(world.variable("TABLE_NAME")).set_item(Some(entry));
    put.send().await.unwrap();
    let receive = sqs.receive_message().queue_url(&queue_url).max_number_of_messages(10).wait_time_seconds(20);
    let messages = receive.send().await.unwrap().messages.unwrap();
    let received: Vec<Value> =
        messages.iter().map(|message| serde_json::from_str(message.body.as_deref().unwrap()).unwrap()).collect();
    assert_eq!((received.len(), &received[0]["message"]), (1, &json!("news")), "{received:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_completes_one_that_was_killed() {
    let proxy = Proxy::start().await;
    let world = World::own(Options { hosts: vec![proxy.host()], ..options() }).await;
    proxy.leads_to(world.variable("AWS_ENDPOINT_URL_DYNAMODB"));
    import(&world, &dump()).await.unwrap();
    let whole = table(&world).await;
    let mut calls = 0;
    loop {
        for (_, item) in table(&world).await {
            world.delete(item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap()).await;
        }
        let (reached, seen) = (Arc::new(Notify::new()), AtomicUsize::new(0));
        let reaches = reached.clone();
        proxy.inject(move |_| {
            if seen.fetch_add(1, Ordering::Relaxed) < calls {
                return Fault::None;
            }
            reaches.notify_one();
            Fault::Hang
        });
        let (mut command, _file) = command(&world, &dump());
        let mut child = command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url()).stdout(Stdio::null()).spawn().unwrap();
        tokio::select! {
            ended = child.wait() => {
                assert!(ended.unwrap().success());
                break;
            }
            () = reached.notified() => child.kill().await.unwrap(),
        }
        import(&world, &dump()).await.unwrap();
        assert_eq!(table(&world).await, whole, "killed at call {calls}");
        calls += 1;
    }
    assert!(calls > 10, "{calls}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_retries_while_dynamodb_throttles() {
    let proxy = Proxy::start().await;
    let world = World::own(Options { hosts: vec![proxy.host()], ..options() }).await;
    proxy.leads_to(world.variable("AWS_ENDPOINT_URL_DYNAMODB"));
    let seen = AtomicUsize::new(0);
    proxy.inject(move |call| {
        let is_one = call.operation == "BatchWriteItem" && seen.fetch_add(1, Ordering::Relaxed) < 12;
        if is_one { Fault::Throttle } else { Fault::None }
    });
    let (mut command, _file) = command(&world, &dump());
    let output = command.env("AWS_ENDPOINT_URL_DYNAMODB", proxy.url()).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(log_in(&world, "danidee", 1).await.history(URI).await.len(), 3);
}

/// The first dump has more data than the second.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_can_be_completed_with_another_dump() {
    let world = World::own(options()).await;
    let mut more = dump();
    let mut message = object(&mut more, "chat.chatsessionmessage", 3).clone();
    message["pk"] = json!(9);
    let mut member = object(&mut more, "chat.chatsessionmember", 1).clone();
    member["pk"] = json!(9);
    member["fields"]["user"] = json!(5);
    more.as_array_mut().unwrap().extend([message, member]);
    import(&world, &more).await.unwrap();
    world.delete(&format!("CHAT#{URI}"), "SESSION").await;

    let report = import(&world, &dump()).await.unwrap();
    let expected = "Written: 0 users, 1 chats, 2 members, 3 messages. Already there: 3 users, 1 chats.";
    assert!(report.starts_with(expected), "{report}");
    let fresh = World::own(options()).await;
    import(&fresh, &dump()).await.unwrap();
    assert_eq!(table(&world).await, table(&fresh).await);
    let danidee = log_in(&world, "danidee", 1).await;
    assert_eq!(danidee.post(URI, "whole again").await, 5);
}

/// Their old name may be another user's by then.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_can_be_repeated_after_users_changed_their_names() {
    let world = World::own(options()).await;
    import(&world, &dump()).await.unwrap();
    let daniel = log_in(&world, "daniel", 2).await;
    let form = json!({"current_password": PASSWORD, "new_username": "dan"});
    assert_eq!(daniel.call(Method::POST, "/auth/username/", form).await.0, 204);
    let form = json!({"username": "daniel", "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/users/").json(&form)).await.0, 201);
    let report = import(&world, &dump()).await.unwrap();
    assert!(report.starts_with("Written: 0 users, 0 chats"), "{report}");
    assert_eq!(daniel.get("/auth/me/").await.1["username"], "dan");
}

/// The original's names are case-sensitive.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_only_in_case_are_kept() {
    let world = World::own(options()).await;
    let mut dump = dump();
    let mut other = object(&mut dump, "auth.user", 1).clone();
    other["pk"] = json!(7);
    other["fields"]["username"] = json!("DaniDee");
    dump.as_array_mut().unwrap().push(other);
    object(&mut dump, "auth.user", 2)["fields"]["username"] = json!("Daniel");
    import(&world, &dump).await.unwrap();
    let id = async |name| log_in(&world, name, 0).await.get("/auth/me/").await.1["id"].clone();
    assert_eq!(
        [id("danidee").await, id("DaniDee").await, id("DANIDEE").await, id("Daniel").await, id("daniel").await],
        [1, 7, 1, 2, 2]
    );
    // A later dump may have a user whose name is a form of another's.
    let mut late = object(&mut dump, "auth.user", 1).clone();
    late["pk"] = json!(8);
    late["fields"]["username"] = json!("daniel");
    dump.as_array_mut().unwrap().push(late);
    import(&world, &dump).await.unwrap();
    assert_eq!([id("Daniel").await, id("daniel").await, id("DANIEL").await], [2, 8, 8]);
    for name in ["Danidee", "DaNiEl"] {
        let form = json!({ "username": name, "password": PASSWORD });
        assert_eq!(answer(world.request(Method::POST, "/auth/users/").json(&form)).await.0, 400, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_with_existing_data_are_rejected_and_nothing_is_written() {
    let world = World::own(options()).await;
    let ben = world.user("ben").await;
    let uri = ben.start_chat().await;
    let before = table(&world).await;
    let rejected = async |dump: &Value| {
        let errors = import(&world, dump).await.unwrap_err();
        assert_eq!(table(&world).await, before);
        errors
    };

    let registered = format!("auth.user 1: in the table this is {:?}, who registered at ", ben.username);
    let chat = format!("chat.chatsession 1, {URI}: in the table this is {uri}\nNothing was written.");
    let errors = rejected(&dump()).await;
    assert!(errors.starts_with(&registered) && errors.ends_with(&chat), "{errors}");

    let mut others = dump();
    object(&mut others, "auth.user", 1)["fields"]["username"] = json!(ben.username);
    object(&mut others, "chat.chatsession", 1)["pk"] = json!(7);
    object(&mut others, "chat.chatsession", 4)["fields"]["uri"] = json!(uri);
    for object in others.as_array_mut().unwrap().iter_mut().filter(|object| object["fields"]["chat_session"] == 1) {
        object["fields"]["chat_session"] = json!(7);
    }
    let errors = rejected(&others).await;
    assert!(errors.starts_with(&registered), "the same name is not the same person: {errors}");
    assert!(errors.contains(&format!("\nchat.chatsession 4: in the table {uri} is chat 1\n")), "{errors}");

    // With the same ids shifted upward, there is no conflict.
    let mut renamed = json!([dump()[1]]);
    renamed[0]["fields"]["username"] = json!(ben.username);
    let expected = format!("auth.user 2: in the table {:?} is user 1\nNothing was written.", ben.username);
    assert_eq!(rejected(&renamed).await, expected);

    let mut strangers = dump();
    object(&mut strangers, "chat.chatsessionmessage", 2)["fields"]["user"] = json!(99);
    let expected = "chat.chatsessionmessage 2: auth.user 99 is not in the dump\nNothing was written.";
    assert_eq!(rejected(&strangers).await, expected);
}
