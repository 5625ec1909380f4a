//! The file of `--data`: it is locked by one process, private to its owner, and never another program's file. Needs
//! separate laptop clouds.

use std::{collections::BTreeMap, fs, path::Path};

use confab_cloud::Cloud;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    process::{Process, free_ports},
    world::{PASSWORD, User, World, answer, options},
};

/// The error with which a cloud does not start on this file.
async fn rejection(path: &Path) -> String {
    let mut options = options();
    options.data = Some(path.to_owned());
    Cloud::start(options).await.err().expect("it starts").to_string()
}

async fn starts(path: &Path) {
    let mut options = options();
    options.data = Some(path.to_owned());
    Cloud::start(options).await.unwrap().stop().await;
}

/// The contents of a folder, by name.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_not_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    let process = Process::start(free_ports(), &path, "error").await;
    let second = Command::new(env!("CARGO_BIN_EXE_confab-under-test"))
        .args(["--no-web", "--port", &free_ports().to_string(), "--data", path.to_str().unwrap()])
        .env("CONFAB_STATE", folder.path())
        .output();
    let second = second.await.unwrap();
    let sentence = format!("The data cannot be opened: {}: another process is using it.\n", path.display());
    assert_eq!((second.status.success(), String::from_utf8(second.stderr).unwrap()), (false, sentence));
    #[cfg(unix)]
    {
        let other = folder.path().join("other.db");
        std::os::unix::fs::symlink(&path, &other).unwrap();
        assert!(rejection(&other).await.contains("another process is using it"), "by another name");
    }
    // A lock ends with its process, even if the process is killed.
    process.kill().await;
    starts(&path).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_private_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    let modes = || -> Vec<(String, u32)> {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        files
            .map(|file| {
                (file.file_name().into_string().unwrap(), file.metadata().unwrap().permissions().mode() & 0o777)
            })
            .collect()
    };
    let mut options = options();
    options.data = Some(path.clone());
    let world = World::own(options).await;
    world.user("anna").await;
    let found = modes();
    assert!(found.iter().any(|(name, _)| name == "confab.db-wal"), "{found:?}");
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    world.cloud.unwrap().stop().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    starts(&path).await;
    assert!(modes().iter().all(|(_, mode)| *mode == 0o600), "{:?}", modes());
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_files_are_rejected_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let database = |name: &str, sql: &str| Connection::open(file(name)).unwrap().execute_batch(sql).unwrap();
    database("plain.db", "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine');");
    database("marked.db", "PRAGMA application_id = 7; CREATE TABLE notes (text);");
    // Still open, with its content in the write-ahead log.
    let open = Connection::open(file("open.db")).unwrap();
    open.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE notes (text);").unwrap();
    fs::write(file("letter.txt"), "Dear all, ".repeat(50)).unwrap();
    fs::write(file("short.txt"), "x").unwrap();
    let before = contents(folder.path());
    assert!(before.contains_key("open.db-wal"));
    for name in ["plain.db", "marked.db", "open.db"] {
        let sentence = format!("{}: it is another program's database, and is left as it is.", file(name).display());
        assert_eq!(rejection(&file(name)).await, format!("The data cannot be opened: {sentence}"));
    }
    for name in ["letter.txt", "short.txt"] {
        assert!(rejection(&file(name)).await.contains("it is not a database"), "{name}");
    }
    assert_eq!(contents(folder.path()), before);
    drop(open);
}

/// Files from before the mark was introduced.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_earlier_version_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    starts(&path).await;
    let mark = || -> u32 {
        Connection::open(&path).unwrap().query_row("PRAGMA application_id", [], |row| row.get(0)).unwrap()
    };
    let ours = mark();
    assert_ne!(ours, 0);
    let unmark = |path: &Path| Connection::open(path).unwrap().pragma_update(None, "application_id", 0).unwrap();
    unmark(&path);
    starts(&path).await;
    assert_eq!(mark(), ours);
    // If a process is killed early, all of its tables are in the write-ahead log.
    let (young, killed) = (folder.path().join("young.db"), folder.path().join("killed.db"));
    let mut options = options();
    options.data = Some(young.clone());
    let cloud = Cloud::start(options).await.unwrap();
    let mut copy = fs::read(&young).unwrap();
    copy[68..72].fill(0);
    fs::write(&killed, copy).unwrap();
    fs::copy(folder.path().join("young.db-wal"), folder.path().join("killed.db-wal")).unwrap();
    cloud.stop().await;
    starts(&killed).await;
}

/// A file that the first version wrote through its API (tests/fixtures/make.py) opens with all its data, which can be
/// used: users, passwords, tokens, chats, messages, reactions, read markers and unread counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_previous_version_opens_completely() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let before: Value =
        serde_json::from_str(&fs::read_to_string(fixtures.join("version-0.1.0.json")).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    let path = folder.path().join("confab.db");
    fs::copy(fixtures.join("version-0.1.0.sqlite"), &path).unwrap();
    options.data = Some(path);
    let world = World::own(options).await;
    let user = |name: &str| User {
        world: &world,
        username: name.to_owned(),
        id: before["users"][name]["id"].as_u64().unwrap(),
        token: before["users"][name]["token"].as_str().unwrap().to_owned(),
    };
    let users = [user("anna"), user("ben"), user("cleo")];
    for user in &users {
        // The tokens have expired.
        world.expire_tokens(user, 3600).await;
        let chats = user.get("/api/chats/").await.1["chats"].clone();
        assert_eq!(chats, before["chats"][&user.username], "{}", user.username);
        world.log_in(&user.username).await;
    }
    let [anna, ben, cleo] = users;
    let uri = before["uri"].as_str().unwrap();
    assert_eq!(json!(anna.history(uri).await), before["history"]);
    let chat = anna.get(&format!("/api/chats/{uri}/")).await.1;
    for (name, value) in before["chat"].as_object().unwrap() {
        assert_eq!(&chat[name], value, "{name}");
    }
    react_to_an_old_message(&anna, &ben, uri).await;
    // Ids continue, and numbers that were not counted by that version are counted correctly.
    let last_id = anna.get(&format!("/api/chats/{uri}/")).await.1["last_id"].as_u64().unwrap();
    let mut bens = ben.socket().await;
    assert_eq!(bens.subscribe(uri, 0).await["entries"].as_array().unwrap().len() as u64, last_id);
    assert_eq!(anna.post(uri, "after the upgrade").await, last_id + 1);
    assert_eq!(bens.until("after the upgrade").await.last().unwrap()["id"], last_id + 1);
    let read = json!({"id": last_id + 1});
    assert_eq!(ben.call(Method::PUT, &format!("/api/chats/{uri}/read/"), read).await.0, 200);
    anna.post(uri, "and more").await;
    let unread = async |user: &User<'_>| user.get("/api/chats/").await.1["chats"][0]["unread"].as_u64().unwrap();
    // Reactions are entries and not messages.
    let cleos = before["chats"]["cleo"][0]["unread"].as_u64().unwrap();
    assert_eq!((unread(&ben).await, unread(&cleo).await), (1, cleos + 2));
    let leave = format!("/api/chats/{uri}/members/{}/", anna.username);
    assert_eq!(anna.call(Method::DELETE, &leave, Value::Null).await.0, 204);
    assert_eq!(ben.get(&format!("/api/chats/{uri}/")).await.1["owner"]["id"], ben.id);
}

/// A message that Ben reacted to with 👍 in the previous version, which kept the users in the message.
async fn react_to_an_old_message(anna: &User<'_>, ben: &User<'_>, uri: &str) {
    let thumb = format!("/api/chats/{uri}/messages/3/reactions/👍/");
    let party = format!("/api/chats/{uri}/messages/3/reactions/🎉/");
    let shown = |emoji: &str, count: u64, mine: bool| json!({"emoji": emoji, "count": count, "mine": mine});
    for (user, method, path, expected) in [
        (ben, Method::PUT, &thumb, vec![shown("👍", 1, false)]),
        (anna, Method::PUT, &thumb, vec![shown("👍", 2, true)]),
        (anna, Method::PUT, &thumb, vec![shown("👍", 2, true)]),
        (ben, Method::DELETE, &thumb, vec![shown("👍", 1, true)]),
        (ben, Method::DELETE, &thumb, vec![shown("👍", 1, true)]),
        (ben, Method::PUT, &thumb, vec![shown("👍", 2, true)]),
        (ben, Method::PUT, &party, vec![shown("👍", 2, true), shown("🎉", 1, false)]),
        (anna, Method::DELETE, &thumb, vec![shown("🎉", 1, false), shown("👍", 1, false)]),
        (ben, Method::DELETE, &thumb, vec![shown("🎉", 1, false)]),
        (ben, Method::DELETE, &party, vec![]),
    ] {
        let (status, body) = user.call(method, path, Value::Null).await;
        assert!(status.is_success(), "{body}");
        let history = anna.history(uri).await;
        let message = history.iter().find(|message| message["id"] == 3).unwrap();
        assert_eq!(message["reactions"], json!(expected), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.data = Some(folder.path().join("confab.db"));
    let world = World::own(options.clone()).await;
    let form = json!({"username": "anna", "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/users/").json(&form)).await.0, 201);
    let token = world.log_in("anna").await;
    let chat = world.request(Method::POST, "/api/chats/").header("Authorization", format!("Token {token}"));
    let uri = answer(chat).await.1["uri"].as_str().unwrap().to_owned();
    let path = format!("/api/chats/{uri}/messages/");
    let post = world.request(Method::POST, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(post.json(&json!({"message": "keep me"}))).await.0, 200);
    world.cloud.unwrap().stop().await;

    let world = World::own(options).await;
    let read = world.request(Method::GET, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(read).await.1["messages"][0]["message"], "keep me");
    let open = world.open(&format!("?uri={uri}"), &[("authorization", &format!("Token {token}"))]).await;
    let mut socket = open.unwrap();
    let post = world.request(Method::POST, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(post.json(&json!({"message": "live"}))).await.0, 200);
    assert_eq!(socket.until("live").await.last().unwrap()["id"], 2);
}
