//! The file of `--data`: one process at a time, its owner's only, and never another program's. Needs clouds of its own.

use std::{collections::BTreeMap, fs, path::Path};

use confab_local::Cloud;
use rusqlite::Connection;
use tokio::process::Command;

use crate::{
    process::{Process, free_ports},
    world::{World, options},
};

/// Why a cloud does not start on this file.
async fn refusal(path: &Path) -> String {
    let mut options = options();
    options.data = Some(path.to_owned());
    Cloud::start(options).await.err().expect("it starts").to_string()
}

async fn starts(path: &Path) {
    let mut options = options();
    options.data = Some(path.to_owned());
    Cloud::start(options).await.unwrap().stop().await;
}

/// What is in a folder: names and contents.
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
        assert!(refusal(&other).await.contains("another process is using it"), "by another name");
    }
    // A lock ends with its process, however that ends.
    process.kill().await;
    starts(&path).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_its_owners_only() {
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
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let database = |name: &str, sql: &str| Connection::open(file(name)).unwrap().execute_batch(sql).unwrap();
    database("plain.db", "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine');");
    database("marked.db", "PRAGMA application_id = 7; CREATE TABLE notes (text);");
    // Still open, with what was written in its write-ahead log.
    let open = Connection::open(file("open.db")).unwrap();
    open.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE notes (text);").unwrap();
    fs::write(file("letter.txt"), "Dear all, ".repeat(50)).unwrap();
    fs::write(file("short.txt"), "x").unwrap();
    let before = contents(folder.path());
    assert!(before.contains_key("open.db-wal"));
    for name in ["plain.db", "marked.db", "open.db"] {
        let sentence = format!("{}: it is another program's database, and is left as it is.", file(name).display());
        assert_eq!(refusal(&file(name)).await, format!("The data cannot be opened: {sentence}"));
    }
    for name in ["letter.txt", "short.txt"] {
        assert!(refusal(&file(name)).await.contains("it is not a database"), "{name}");
    }
    assert_eq!(contents(folder.path()), before);
    drop(open);
}

/// Files from before there was a mark.
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
    // One that was killed soon has all of its tables in the write-ahead log.
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
