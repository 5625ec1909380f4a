//! Nothing is lost, whatever dies in between: faults below our code, by the hundred, from seeds that are printed when one fails.
//!
//! `FAULT_SEEDS=200 cargo test faults` runs as many; `FAULT_SEED=17 cargo test faults` runs that one alone. Needs clouds of its own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env, fs,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use confab_cloud::{Functions, Options, Template};
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt, future::join_all, stream};
use lambda_runtime::LambdaEvent;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    process::{Process, free_ports},
    proxy::{Fault, Proxy},
    world::{DEADLINE, PASSWORD, Socket, User, World, eventually, options, unique},
};

/// How long everything may take to come right once nothing goes wrong any more.
const RECOVERY: Duration = Duration::from_secs(60);

/// A function that dies after it has been polled so often: its sandbox is cut off in the middle of whatever it waits for.
struct Mortal<F> {
    life: Option<F>,
    polls: u64,
}

impl<F: Future<Output = Result<Value, lambda_runtime::Error>> + Unpin> Future for Mortal<F> {
    type Output = Result<Value, lambda_runtime::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.life = None;
            return Poll::Ready(Err("the sandbox was cut off".into()));
        }
        self.polls -= 1;
        Pin::new(self.life.as_mut().unwrap()).poll(context)
    }
}

/// Confab's functions, each invocation of which lives for as many polls as `fate` says of it.
fn mortal(fate: impl Fn(&str) -> u64 + Send + Sync + 'static) -> Functions {
    let fate = Arc::new(fate);
    Functions::InProcess(Arc::new(move |name, environment| {
        let handler = confab_functions::handler(name, environment)?;
        let (name, fate) = (name.to_owned(), fate.clone());
        Ok(Arc::new(move |event: LambdaEvent<_>| {
            let mortal = Mortal { polls: fate(&name), life: Some(handler(event)) };
            Box::pin(mortal) as futures_util::future::BoxFuture<'static, _>
        }))
    }))
}

/// The template with queues that give a batch back soon, so that a test need not wait for what a deployment waits for.
fn impatient() -> Template {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")).unwrap();
    assert_eq!(text.matches("VisibilityTimeout: 90").count(), 2);
    fs::write(&path, text.replace("VisibilityTimeout: 90", "VisibilityTimeout: 2")).unwrap();
    Template::read(&path).unwrap()
}

/// The weather between the functions and one service, or over the functions themselves: calm and storms in turn, while `on`.
struct Weather {
    on: Arc<AtomicBool>,
    state: Mutex<(Rng, Instant, bool)>,
}

impl Weather {
    fn new(on: &Arc<AtomicBool>, rng: Rng) -> Arc<Self> {
        Arc::new(Self { on: on.clone(), state: Mutex::new((rng, Instant::now(), true)) })
    }

    /// Whether something goes wrong now, and what the dice say about it.
    fn strikes(&self) -> Option<Rng> {
        let (rng, until, storm) = &mut *self.state.lock().unwrap();
        if !self.on.load(Ordering::Relaxed) {
            return None;
        }
        if *until < Instant::now() {
            *storm = !*storm;
            *until = Instant::now() + Duration::from_millis(rng.u64(100..if *storm { 2500 } else { 1500 }));
        }
        (rng.u32(..100) < if *storm { 80 } else { 3 }).then(|| rng.fork())
    }

    fn fault(&self) -> Fault {
        let Some(mut rng) = self.strikes() else { return Fault::None };
        match rng.u32(..14) {
            0..3 => Fault::Refuse,
            3..5 => Fault::Throttle,
            5..8 => Fault::Slow(Duration::from_millis(rng.u64(..600))),
            8..10 => Fault::Reset,
            10..13 => Fault::LoseAnswer,
            _ => Fault::Hang,
        }
    }

    fn polls(&self) -> u64 {
        self.strikes().map_or(u64::MAX, |mut rng| rng.u64(..50))
    }
}

/// A client as design section 5 wants it, which never gives up.
struct Client<'a> {
    user: &'a User<'a>,
    socket: Option<Socket>,
    /// Sockets that it has lost sight of, and that stay open without anybody reading from them.
    half_open: Vec<Socket>,
    rooms: BTreeMap<String, View>,
    rng: Rng,
    /// How often its socket was closed without its doing.
    cut_off: u32,
}

/// What a client knows of a room.
#[derive(Debug, Default)]
struct View {
    last_id: u64,
    messages: Vec<(u64, String)>,
    /// When it last asked to be subscribed, while that is not answered.
    asked: Option<Instant>,
    /// The highest id that it has heard of, holes before it or not.
    heard_id: u64,
}

impl View {
    /// Whether there is no hole before the entry.
    fn fold(&mut self, entry: &Value) -> bool {
        let id = entry["id"].as_u64().unwrap();
        self.heard_id = self.heard_id.max(id);
        if id == self.last_id + 1 {
            self.last_id = id;
            if entry["type"] == "message" {
                self.messages.push((id, entry["message"].as_str().unwrap().to_owned()));
            }
        }
        id <= self.last_id
    }
}

impl<'a> Client<'a> {
    fn new(user: &'a User<'a>, uris: &[String], seed: u64) -> Self {
        let rooms = uris.iter().map(|uri| (uri.clone(), View::default())).collect();
        Self { user, socket: None, half_open: Vec::new(), rooms, rng: Rng::with_seed(seed), cut_off: 0 }
    }

    /// Listens until it is as far as the goal, once that is known.
    async fn run(&mut self, goal: watch::Receiver<Option<HashMap<String, u64>>>) {
        loop {
            let reached = match &*goal.borrow() {
                Some(goal) => self.rooms.iter().all(|(uri, view)| view.last_id >= goal[uri]),
                None => {
                    match self.rng.u32(..60) {
                        0 => self.socket = None,
                        1 => self.half_open.extend(self.socket.take()),
                        _ => {}
                    }
                    false
                }
            };
            if reached {
                return;
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let token = format!("Token {}", self.user.token);
        let Some(socket) = &mut self.socket else {
            self.socket = self.user.world.try_open(&[("authorization", &token)]).await;
            for view in self.rooms.values_mut() {
                view.asked = None;
            }
            match &mut self.socket {
                Some(_) => self.subscribe_where(|view| view.asked.is_none()).await,
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            return;
        };
        match tokio::time::timeout(Duration::from_millis(200), socket.receive()).await {
            Err(_) => {
                // An answer that does not come is asked for again.
                let late = |view: &View| view.asked.is_some_and(|asked| asked.elapsed() > Duration::from_secs(8));
                self.subscribe_where(late).await;
            }
            Ok(Err(_)) => {
                self.cut_off += 1;
                self.socket = None;
            }
            Ok(Ok(object)) => self.take(&object).await,
        }
    }

    async fn take(&mut self, object: &Value) {
        let view = object["uri"].as_str().and_then(|uri| self.rooms.get_mut(uri));
        match (object["type"].as_str(), view) {
            (Some("subscribed"), Some(view)) => {
                assert_eq!(object["recovered"], true, "{object}");
                view.asked = None;
                for entry in object["entries"].as_array().unwrap() {
                    assert!(view.fold(entry), "a hole in {object}");
                }
                // What came live before this answer may be newer than it.
                self.subscribe_where(|view| view.asked.is_none() && view.heard_id > view.last_id).await;
            }
            (Some("message" | "joined" | "left"), Some(view)) => {
                if !view.fold(object) && view.asked.is_none() {
                    let last_id = view.last_id;
                    self.subscribe_where(|view| view.asked.is_none() && view.last_id == last_id).await;
                }
            }
            (Some("online" | "offline" | "added"), _) => {}
            // The server has forgotten this socket.
            (Some("error"), _) if object["status"] == 401 => self.socket = None,
            // Busy, or the function died; which request it was is not said.
            (Some("error") | None, _) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.subscribe_where(|view| view.asked.is_some()).await;
            }
            other => panic!("{other:?} {object}", other = other.0),
        }
    }

    async fn subscribe_where(&mut self, wanted: impl Fn(&View) -> bool) {
        for (uri, view) in &mut self.rooms {
            if let Some(socket) = &mut self.socket
                && wanted(view)
            {
                let frame = json!({"action": "subscribe", "uri": uri, "after": view.last_id});
                view.asked = Some(Instant::now());
                if !socket.try_send(&frame).await {
                    self.socket = None;
                }
            }
        }
    }
}

/// Posts over HTTP until it is acknowledged, always with the same key, as a client's outbox does. It is not patient: what it has given
/// up waiting for may still be under way when it asks again.
async fn post(user: &User<'_>, uri: &str, message: &str, patience: Duration) -> u64 {
    let mut patience = patience;
    loop {
        let request = user.request(Method::POST, &format!("/api/chats/{uri}/messages/")).timeout(patience);
        let request = request.header("Idempotency-Key", message).json(&json!({"message": message}));
        if let Ok(response) = request.send().await {
            let status = response.status().as_u16();
            if status == 503 {
                assert!(response.headers().contains_key("retry-after"));
            }
            assert!(status == 200 || status >= 500, "{status} for {message}");
            if status == 200
                && let Ok(receipt) = response.json::<Value>().await
            {
                return receipt["id"].as_u64().unwrap();
            }
        }
        patience = (patience * 2).min(DEADLINE);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Whether the world has come right: what was acknowledged is the history, and each client's view is the history.
async fn check(reader: &User<'_>, uri: &str, acknowledged: &[(u64, String)], clients: &[Client<'_>]) {
    let history = reader.history(uri).await;
    let history: Vec<(u64, String)> = history
        .iter()
        .map(|message| (message["id"].as_u64().unwrap(), message["message"].as_str().unwrap().to_owned()))
        .collect();
    let mut acknowledged = acknowledged.to_vec();
    acknowledged.sort_unstable();
    assert_eq!(history, acknowledged, "the history and what was acknowledged");
    let texts: BTreeSet<&String> = history.iter().map(|(_, text)| text).collect();
    assert_eq!(texts.len(), history.len(), "something was posted twice");
    for client in clients {
        assert_eq!(client.rooms[uri].messages, history, "what a client has seen, and the history");
    }
    let log = reader.socket().await.subscribe(uri, 0).await;
    let ids = log["entries"].as_array().unwrap().iter().map(|entry| entry["id"].as_u64().unwrap());
    assert!(ids.eq(1..=log["last_id"].as_u64().unwrap()), "the log has gaps");
}

async fn last_ids(reader: &User<'_>, uris: &[String]) -> HashMap<String, u64> {
    let mut goal = HashMap::new();
    for uri in uris {
        // What is left of the weather may take a moment, and is answered with 503 then.
        let path = format!("/api/chats/{uri}/");
        let (mut status, mut chat) = reader.get(&path).await;
        while status == 503 {
            (status, chat) = reader.get(&path).await;
        }
        assert_eq!(status, 200, "{chat}");
        goal.insert(uri.clone(), chat["last_id"].as_u64().unwrap());
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

/// A cloud whose functions reach everything through bad weather, and die in it.
async fn stormy_world(on: &Arc<AtomicBool>, rng: &mut Rng) -> World {
    let services = [Proxy::start().await, Proxy::start().await, Proxy::start().await, Proxy::start().await];
    for service in &services {
        let weather = Weather::new(on, rng.fork());
        service.inject(move |_| weather.fault());
    }
    let fate = Weather::new(on, rng.fork());
    let mut options = Options { template: impatient(), functions: mortal(move |_| fate.polls()), ..options() };
    options.parameters.insert("LargeChat".to_owned(), (*rng.choice(&["2", "500"]).unwrap()).to_owned());
    Proxy::before_all(&services, options).await
}

/// Some rounds of talk in bad weather. At the end of each the weather clears, and without another word being said everybody must come
/// to know all of it.
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
            let posted = join_all(talks).await.concat();
            tokio::time::sleep(Duration::from_millis(rng.u64(..1500))).await;
            on.store(false, Ordering::Relaxed);
            tell.send_replace(Some(last_ids(&users[0], &uris).await));
            posted
        };
        let listen = join_all(clients.iter_mut().map(|client| client.run(goal.clone())));
        let both = async { tokio::join!(talk, listen) };
        let ended = tokio::time::timeout(RECOVERY, both).await;
        let Ok((more, _)) = ended else {
            let views: Vec<_> = clients.iter().map(|client| (client.socket.is_some(), &client.rooms)).collect();
            panic!("round {round} did not come right: it should be {:?}, and is {views:?}", *goal.borrow());
        };
        posted.extend(more);
    }
    for uri in &uris {
        let acknowledged: Vec<(u64, String)> =
            posted.iter().filter(|(of, ..)| of == uri).map(|(_, id, text)| (*id, text.clone())).collect();
        check(&users[0], uri, &acknowledged, &clients).await;
    }
    // What was tried ten times in such weather is given up, and comes with what is behind it; that is put away too.
    eventually("the poison is put away", async || dead_letters(&world).await.contains(&poison)).await;
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
                eprintln!("It went wrong with FAULT_SEED={seed}.");
                seed
            })
        });
        runs.buffer_unordered(3).filter_map(std::future::ready).collect().await
    });
    assert!(failed.is_empty(), "it went wrong with these seeds: {failed:?}");
}

/// The function that posts is cut off at every await that it has, one after the other; its client asks again with the same key.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_cut_off_at_any_await_happens_exactly_once() {
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
        tell.send_replace(Some(last_ids(&user, &uris).await));
        acknowledged
    };
    let listen = clients[0].run(goal.clone());
    let (acknowledged, ()) = tokio::time::timeout(RECOVERY, async { tokio::join!(talk, listen) }).await.unwrap();
    check(&user, &uri, &acknowledged, &clients).await;
}

/// The exchange never hears of a post from the function that wrote it, and nobody posts again: the relay alone tells of it.
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

/// A membership and a token end in the table, and whoever ended them does nothing more, as if cut off there: the stream sees to the
/// rest.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_completes_an_interrupted_revocation() {
    let world = World::any().await;
    let (owner, guest) = (world.user("owner").await, world.user("guest").await);
    let uri = owner.start_chat().await;
    guest.join(&uri).await;
    let mut heard = guest.subscribed(&uri).await;
    world.delete(&format!("CHAT#{uri}"), &format!("MEMBER#{}", guest.id)).await;
    assert_eq!(heard.next_of("unsubscribed").await["uri"], uri.as_str());

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
    let murder = async {
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
        let posted = join_all(talks).await.concat();
        tell.send_replace(Some(last_ids(&users[0], &uris).await));
        posted
    };
    let listen = join_all(clients.iter_mut().map(|client| client.run(goal.clone())));
    let all = async { tokio::join!(murder, talk, listen) };
    let (process, posted, _) = tokio::time::timeout(RECOVERY * 2, all).await.expect("it did not come right in time");
    check(&users[0], &uris[0], &posted, &clients).await;
    assert_eq!(world.log_in(&users[0].username).await.len(), 64, "{PASSWORD} is still the one");
    drop(process);
}
