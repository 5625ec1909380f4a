//! Nothing is lost, whatever fails: hundreds of faults below our code, from seeds that are printed when one fails.
//!
//! `FAULT_SEEDS=200 cargo test faults` runs 200 seeds; `FAULT_SEED=17 cargo test faults` runs only that one. Needs separate
//! laptop clouds.

mod client;
mod weather;

use std::{
    collections::{BTreeSet, HashMap},
    env,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use confab_cloud::Options;
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use self::{
    client::{Client, post},
    weather::{impatient, mortal, stormy_world},
};
use crate::{
    process::{Process, free_ports},
    proxy::Proxy,
    world::{DEADLINE, PASSWORD, User, World, eventually, options, unique},
};

/// The time for full recovery once the faults end.
const RECOVERY: Duration = Duration::from_secs(180);

/// Checks recovery: the acknowledged messages are the history, and each client's view is the history.
async fn check(reader: &User<'_>, uri: &str, acknowledged: &[(u64, String)], clients: &[Client<'_>]) {
    let history = reader.history(uri).await;
    let history: Vec<(u64, String)> = history
        .iter()
        .map(|message| (message["id"].as_u64().unwrap(), message["message"].as_str().unwrap().to_owned()))
        .collect();
    let mut acknowledged = acknowledged.to_vec();
    acknowledged.sort_unstable();
    assert_eq!(history, acknowledged, "the history and the acknowledged messages");
    let texts: BTreeSet<&String> = history.iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), history.len(), "a message was posted twice");
    for client in clients {
        assert_eq!(client.chats[uri].messages, history, "a client's view and the history");
    }
    let log = reader.socket().await.subscribe(uri, 0).await;
    let ids = log["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap());
    assert!(ids.eq(1..=log["last_id"].as_u64().unwrap()), "the log has gaps");
}

/// The last id of each chat, once all that was acknowledged is visible.
async fn last_ids<'a>(
    reader: &User<'_>,
    uris: &[String],
    acknowledged: impl Iterator<Item = (&'a String, u64)> + Clone,
) -> HashMap<String, u64> {
    let mut goal = HashMap::new();
    for uri in uris {
        let least = acknowledged.clone().filter(|(of, _)| *of == uri).map(|(_, id)| id).max().unwrap_or_default();
        let (path, last_id) = (format!("/api/chats/{uri}/"), AtomicU64::new(0));
        eventually("what was acknowledged is visible", async || {
            // The last faults may take a moment to end, with 503 until then.
            let (status, chat) = reader.get(&path).await;
            assert!(status == 200 || status == 503, "{chat}");
            last_id.store(chat["last_id"].as_u64().unwrap_or_default(), Ordering::Relaxed);
            status == 200 && last_id.load(Ordering::Relaxed) >= least
        })
        .await;
        goal.insert(uri.clone(), last_id.into_inner());
    }
    goal
}

/// The bodies in the dead-letter queue.
async fn dead_letters(world: &World) -> Vec<String> {
    let mut bodies = Vec::new();
    loop {
        let receive = world.sqs().receive_message().queue_url(world.variable("DEAD_LETTER_QUEUE_URL"));
        let receive = receive.max_number_of_messages(10).visibility_timeout(600).send();
        match receive.await.unwrap().messages {
            Some(messages) if !messages.is_empty() => bodies.extend(messages.into_iter().filter_map(|m| m.body)),
            _ => return bodies,
        }
    }
}

/// Some rounds of posting in bad weather. At the end of each the weather clears, and without further posts every client
/// must receive everything.
async fn stormy_chat(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let on = Arc::new(AtomicBool::new(false));
    let world = stormy_world(&on, &mut rng).await;
    let users = join_all((0..2).map(|_| world.user("user"))).await;
    let uris = [users[0].start_chat().await, users[1].start_chat().await];
    for (user, uri) in users.iter().zip(uris.iter().rev()) {
        user.join(uri).await;
    }
    let mut clients: Vec<Client<'_>> =
        users.iter().chain(&users[..1]).map(|user| Client::new(user, &uris, rng.u64(..))).collect();
    let poison = unique("poison");
    world.publish(&uris[0], &poison).await;
    let mut posted = Vec::new();
    for round in 0..4 {
        let (tell, goal) = watch::channel(None);
        on.store(true, Ordering::Relaxed);
        let talk = async {
            let talks = users.iter().enumerate().flat_map(|(n, user)| uris.iter().map(move |uri| (n, user, uri)));
            let talks = talks.map(|(n, user, uri)| {
                let mut rng = rng.fork();
                async move {
                    let mut posted = Vec::new();
                    for m in 0..rng.u32(..3) {
                        tokio::time::sleep(Duration::from_millis(rng.u64(..400))).await;
                        let text = format!("{round}-{n}-{m}");
                        let patience = Duration::from_millis(rng.u64(50..800));
                        posted.push((uri.clone(), post(user, uri, &text, patience).await, text));
                    }
                    posted
                }
            });
            let posted: Vec<(String, u64, String)> = join_all(talks).await.concat();
            tokio::time::sleep(Duration::from_millis(rng.u64(..1500))).await;
            on.store(false, Ordering::Relaxed);
            let acknowledged = posted.iter().map(|(uri, id, _)| (uri, *id));
            tell.send_replace(Some(last_ids(&users[0], &uris, acknowledged).await));
            posted
        };
        let listen = join_all(clients.iter_mut().map(|client| client.run(goal.clone())));
        let both = async { tokio::join!(talk, listen) };
        let ended = tokio::time::timeout(RECOVERY, both).await;
        let Ok((more, _)) = ended else {
            let views: Vec<_> = clients.iter().map(|client| (client.socket.is_some(), &client.chats)).collect();
            panic!("round {round} did not recover: it should be {:?}, and is {views:?}", *goal.borrow());
        };
        posted.extend(more);
    }
    for uri in &uris {
        let acknowledged: Vec<(u64, String)> =
            posted.iter().filter(|(of, ..)| of == uri).map(|(_, id, text)| (*id, text.clone())).collect();
        check(&users[0], uri, &acknowledged, &clients).await;
    }
    // A message that was received ten times in such weather is dead-lettered with those behind it; the poison message,
    // too.
    eventually("the poison message is dead-lettered", async || dead_letters(&world).await.contains(&poison)).await;
    world.cloud.unwrap().stop().await;
}

#[test]
fn nothing_is_lost_whatever_fails() {
    let number = |name: &str| env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let seeds: Vec<u64> = match number("FAULT_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FAULT_SEEDS").unwrap_or(6)).collect(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let failed: Vec<u64> = runtime.block_on(async {
        let runs = stream::iter(seeds).map(|seed| async move {
            let run = AssertUnwindSafe(stormy_chat(seed)).catch_unwind().await;
            run.err().map(|_| {
                eprintln!("It failed with FAULT_SEED={seed}.");
                seed
            })
        });
        runs.buffer_unordered(3).filter_map(std::future::ready).collect().await
    });
    assert!(failed.is_empty(), "it failed with these seeds: {failed:?}");
}

/// The function that posts is cut off at each of its awaits in turn; its client retries with the same key.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_cut_off_at_any_await_happens_exactly_once() {
    posts_cut_off(false).await;
}

/// Also between reserving an id and committing the message under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_cut_off_in_a_hot_chat_happens_exactly_once() {
    posts_cut_off(true).await;
}

async fn posts_cut_off(is_hot: bool) {
    let polls = Arc::new(AtomicU64::new(u64::MAX));
    let left = polls.clone();
    let functions = mortal(move |name| match name {
        "post-message" => left.swap(u64::MAX, Ordering::Relaxed),
        _ => u64::MAX,
    });
    let world = World::own(Options { template: impatient(), functions, ..options() }).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let uris = [uri.clone()];
    let (tell, goal) = watch::channel(None);
    let mut clients = [Client::new(&user, &uris, 0)];
    let talk = async {
        let mut acknowledged = Vec::new();
        for lives in 0.. {
            if is_hot {
                world.heat(&uri).await;
            }
            polls.store(lives, Ordering::Relaxed);
            let text = format!("{lives} polls");
            let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/"));
            let request = request.header("Idempotency-Key", &text).json(&json!({"message": text}));
            let survived = request.send().await.unwrap().status() == 200;
            acknowledged.push((post(&user, &uri, &text, DEADLINE).await, text));
            if survived {
                assert!(lives > 3, "it was hardly ever cut off");
                break;
            }
        }
        let ids = acknowledged.iter().map(|(id, _)| (&uri, *id));
        tell.send_replace(Some(last_ids(&user, &uris, ids).await));
        acknowledged
    };
    let listen = clients[0].run(goal.clone());
    let (acknowledged, ()) = tokio::time::timeout(RECOVERY, async { tokio::join!(talk, listen) }).await.unwrap();
    check(&user, &uri, &acknowledged, &clients).await;
}

/// The function that wrote the message fails to publish it, and there is no further post: only the relay publishes it.
#[tokio::test(flavor = "multi_thread")]
async fn the_relay_delivers_a_message_whose_publication_is_lost() {
    let (world, _, sns) = Proxy::world().await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.subscribed(&uri).await;
    sns.refuse(|call| call.caller == "post-message");
    user.post(&uri, "the only one").await;
    assert_eq!(socket.next().await["message"], "the only one");
}

/// A membership and a token are deleted in the table and nothing else happens, as if the function were cut off there:
/// the stream completes it.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_completes_an_interrupted_revocation() {
    let world = World::any().await;
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let mut subscribed = guest.subscribed(&uri).await;
    world.delete(&format!("CHAT#{uri}"), &format!("MEMBER#{}", guest.id)).await;
    assert_eq!(subscribed.next_of("unsubscribed").await["uri"], uri.as_str());

    let socket = guest.socket().await;
    for token in world.items(&format!("TOKENS#{}", guest.id)).await {
        world.delete(token["pk"].as_s().unwrap(), token["sk"].as_s().unwrap()).await;
    }
    socket.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_process_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, port) = (folder.path().join("confab.db"), free_ports());
    let mut process = Process::start(port, &data, "error").await;
    let world = World::at(port);
    let users = join_all((0..2).map(|_| world.user("user"))).await;
    let uris = [users[0].start_chat().await];
    users[1].join(&uris[0]).await;
    let mut clients: Vec<Client<'_>> = users.iter().map(|user| Client::new(user, &uris, user.id)).collect();
    let (tell, goal) = watch::channel(None);
    let done = AtomicBool::new(false);
    let kills = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(300..1200))).await;
            process.kill().await;
            process = Process::start(port, &data, "error").await;
        }
        done.store(true, Ordering::Relaxed);
        process
    };
    let talk = async {
        let talks = users.iter().enumerate().map(|(n, user)| {
            let (uri, done) = (&uris[0], &done);
            async move {
                let mut posted = Vec::new();
                while !done.load(Ordering::Relaxed) || posted.len() < 5 {
                    let text = format!("{n}-{}", posted.len());
                    posted.push((post(user, uri, &text, DEADLINE).await, text));
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                posted
            }
        });
        let posted: Vec<(u64, String)> = join_all(talks).await.concat();
        let acknowledged = posted.iter().map(|(id, _)| (&uris[0], *id));
        tell.send_replace(Some(last_ids(&users[0], &uris, acknowledged).await));
        posted
    };
    let listen = join_all(clients.iter_mut().map(|client| client.run(goal.clone())));
    let all = async { tokio::join!(kills, talk, listen) };
    let (process, posted, _) = tokio::time::timeout(RECOVERY * 2, all).await.expect("it did not recover in time");
    check(&users[0], &uris[0], &posted, &clients).await;
    assert_eq!(world.log_in(&users[0].username).await.len(), 64, "{PASSWORD} is still the one");
    drop(process);
}
