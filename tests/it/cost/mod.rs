//! What AWS would bill, measured: docs/cost.md has the tables, and the test fails when a figure of them changes. Needs
//! separate laptop clouds. `UPDATE_COST=1 cargo test cost` writes the tables.

mod prices;

use std::{
    env,
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use confab_cloud::{Amount, LikeAws, Options, Usage};
use futures_util::{StreamExt, future::join_all, stream};
use serde_json::json;

use crate::world::{DEADLINE, Socket, User, World, options};
use prices::{CONNECTION_MINUTE, Cost};

const BEGIN: &str = "<!-- The tables are written by `UPDATE_COST=1 cargo test cost`. -->\n";

/// The members of the chats that are measured, all of them connected.
const MEMBERS: [usize; 3] = [2, 10, 100];
/// The chats that a connected user is in.
const CHATS: [usize; 2] = [10, 81];

const DAYS: f64 = 30.0;
/// API Gateway closes a socket after two hours.
const CONNECTIONS: f64 = DAYS * 12.0;
/// The client pings after nine minutes without another frame.
const PINGS: f64 = DAYS * 24.0 * 60.0 / 9.0;
const MINUTES: f64 = DAYS * 24.0 * 60.0;
/// The seconds in which a client sends at most one read marker for a chat, and the length of the stream's window.
const MARKER_SECONDS: f64 = 5.0;
/// Typing notifications for each message: one in six seconds.
const TYPING: f64 = 1.0;

/// Nothing more is used once nothing was used for this long: longer than the stream's batching window.
const QUIET: Duration = Duration::from_secs(8);

fn metered() -> Options {
    Options { metering: true, like_aws: LikeAws::default(), ..options() }
}

/// Measures what actions cost.
struct Measurement<'a> {
    world: &'a World,
    /// What was used before the action.
    before: Usage,
}

impl<'a> Measurement<'a> {
    async fn begin(world: &'a World) -> Self {
        Self { world, before: quiet(world).await }
    }

    /// What an action costs, with all that follows it.
    async fn cost(&mut self, action: impl Future<Output = ()>) -> Cost {
        Cost::of(&self.usage(action).await)
    }

    /// What an action uses, with all that follows it.
    async fn usage(&mut self, action: impl Future<Output = ()>) -> Usage {
        action.await;
        let after = quiet(self.world).await;
        let change = |(key, amount): (&(String, String), &Amount)| {
            let earlier = self.before.get(key).copied().unwrap_or_default();
            let (calls, units) = (amount.calls - earlier.calls, amount.units - earlier.units);
            (calls > 0).then(|| (key.clone(), Amount { calls, units }))
        };
        let usage: Usage = after.iter().filter_map(change).collect();
        self.before = after;
        usage
    }
}

/// The usage once it does not change any more.
async fn quiet(world: &World) -> Usage {
    let usage = || world.cloud.as_ref().unwrap().usage();
    let (mut last, mut since) = (usage(), Instant::now());
    let deadline = since + 4 * DEADLINE;
    while since.elapsed() < QUIET {
        assert!(Instant::now() < deadline, "it does not become quiet: {last:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = usage();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

/// What a chat costs.
struct ChatCost {
    members: usize,
    message: Cost,
    typing: Cost,
    /// A read marker that a member moves, without the event.
    marker: Cost,
    /// The event about read markers.
    read: Cost,
}

impl ChatCost {
    async fn measure(members: usize) -> Self {
        let world = World::own(metered()).await;
        let owner = world.user("owner").await;
        let uri = owner.start_chat().await;
        let others: Vec<User<'_>> =
            stream::iter(1..members).map(|_| world.user("member")).buffer_unordered(8).collect().await;
        for other in &others {
            other.join(&uri).await;
        }
        let mut sockets = Vec::new();
        for user in std::iter::once(&owner).chain(&others) {
            sockets.push(user.subscribed(&uri).await);
        }
        let post = async |sockets: &mut [Socket], text: &str| {
            sockets[0].send(&json!({"action": "send", "uri": uri, "message": text})).await;
            let mut id = 0;
            for socket in sockets {
                id = socket.until(text).await.last().unwrap()["id"].as_u64().unwrap();
            }
            id
        };
        // The first one marks where the fan-out continues.
        post(&mut sockets, "the first").await;
        let mut measurement = Measurement::begin(&world).await;
        let mut id = 0;
        let message = measurement.cost(async { id = post(&mut sockets, "measured").await }).await;
        let typing = async {
            sockets[0].send(&json!({"action": "typing", "uri": uri})).await;
            for socket in &mut sockets[1..] {
                socket.next_of("typing").await;
            }
        };
        let typing = measurement.cost(typing).await;
        // The frame and its function, and the event, which costs the same with one marker in it and with all.
        let read = async { sockets[1].send(&json!({"action": "read", "uri": uri, "id": id})).await };
        let (marker, read) = measurement.usage(read).await.into_iter().partition(is_of_the_frame);
        Self { members, message, typing, marker: Cost::of(&marker), read: Cost::of(&read) }
    }

    /// What a message costs, with typing notifications and read markers, when one is posted in this number of seconds.
    fn as_clients_behave(&self, seconds: f64) -> Cost {
        let readers = (self.members - 1) as f64;
        let markers = (seconds / MARKER_SECONDS).min(1.0);
        // Markers that are moved within some seconds of each other may fall into two windows.
        let events = (seconds / MARKER_SECONDS).min(2.0);
        let typing = self.typing.times(TYPING);
        self.message.plus(&typing).plus(&self.marker.times(readers * markers)).plus(&self.read.times(events))
    }
}

fn is_of_the_frame(((caller, operation), _): &((String, String), Amount)) -> bool {
    caller == "ws-message" || ["websocket:Message", "websocket:Response"].contains(&operation.as_str())
}

/// What it costs that a user is connected.
struct UserCost {
    chats: usize,
    reconnect: Cost,
    ping: Cost,
}

impl UserCost {
    async fn measure(chats: usize) -> Self {
        let world = World::own(metered()).await;
        let (user, other) = (world.user("user").await, world.user("other").await);
        let mut uris = Vec::new();
        for _ in 0..chats {
            let uri = user.start_chat().await;
            other.join(&uri).await;
            uris.push(uri);
        }
        let subscriptions: Vec<(&str, u64)> = uris.iter().map(|uri| (uri.as_str(), 1)).collect();
        let connect = async || {
            let mut socket = user.socket().await;
            socket.subscribe_to_all(&subscriptions).await;
            socket
        };
        let mut socket = connect().await;
        let mut measurement = Measurement::begin(&world).await;
        let ping = measurement.cost(async { drop(socket.ask(&json!({"action": "ping"})).await) }).await;
        // A client whose socket is closed reconnects at once.
        let mut reconnected = None;
        let reconnect = async {
            socket.close().await;
            reconnected = Some(connect().await);
        };
        let reconnect = measurement.usage(reconnect).await;
        // Shown when the test fails.
        for ((caller, operation), Amount { calls, units }) in &reconnect {
            println!("{chats} chats: {caller} {operation}: {calls} calls, {units} units");
        }
        let reconnect = Cost::of(&reconnect);
        drop(reconnected);
        Self { chats, reconnect, ping }
    }

    /// Dollars a month.
    fn month(&self) -> f64 {
        let million = self.reconnect.total() * CONNECTIONS + self.ping.total() * PINGS + CONNECTION_MINUTE * MINUTES;
        million / 1e6
    }
}

fn dollars(value: f64) -> String {
    format!("{value:.2}")
}

fn chat_tables(chats: &[ChatCost]) -> String {
    let mut text = String::from("| dollars per million | ");
    let mut row = |name: &str, value: &dyn Fn(&ChatCost) -> f64| {
        let cells: Vec<String> = chats.iter().map(|chat| dollars(value(chat))).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    };
    row("**messages**", &|chat| chat.message.total());
    row("of that: API Gateway", &|chat| chat.message.gateway);
    row("of that: DynamoDB", &|chat| chat.message.dynamodb);
    row("of that: SNS and SQS", &|chat| chat.message.messaging);
    row("of that: Lambda", &|chat| chat.message.lambda);
    row("of that: logs", &|chat| chat.message.logs);
    row("typing notifications", &|chat| chat.typing.total());
    row("read markers that members move", &|chat| chat.marker.total());
    row("`read` events", &|chat| chat.read.total());
    for (interval, seconds) in [("a second", 1.0), ("in 5 seconds", 5.0), ("a minute", 60.0)] {
        let name = format!("**messages as the client behaves, one {interval}**");
        row(&name, &|chat| chat.as_clients_behave(seconds).total());
        row("of that: API Gateway", &|chat| chat.as_clients_behave(seconds).gateway);
    }
    let heading: Vec<String> = chats.iter().map(|chat| format!("{} members", chat.members)).collect();
    let head = format!("| dollars per million | {} |\n|---|{}\n", heading.join(" | "), "---:|".repeat(chats.len()));
    text.replacen("| dollars per million | ", &head, 1)
}

fn user_table(users: &[UserCost]) -> String {
    let mut text = String::from("| dollars | ");
    let heading: Vec<String> = users.iter().map(|user| format!("{} chats", user.chats)).collect();
    writeln!(text, "{} |\n|---|{}", heading.join(" | "), "---:|".repeat(users.len())).unwrap();
    let mut row = |name: &str, value: &dyn Fn(&UserCost) -> f64| {
        let cells: Vec<String> = users.iter().map(|user| format!("{:.4}", value(user))).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | ")).unwrap();
    };
    row("360 connections with one `subscribe` frame each", &|user| user.reconnect.total() * CONNECTIONS / 1e6);
    row("4,800 pings", &|user| user.ping.total() * PINGS / 1e6);
    row("43,200 minutes", &|_| CONNECTION_MINUTE * MINUTES / 1e6);
    row("**a connected user and month**", &UserCost::month);
    text
}

/// The figures in a text.
fn figures(text: &str) -> Vec<f64> {
    text.split('|').filter_map(|cell| cell.trim().parse().ok()).collect()
}

async fn measured() -> String {
    let chats = async { join_all(MEMBERS.map(ChatCost::measure)).await };
    let users = async { join_all(CHATS.map(UserCost::measure)).await };
    let (chats, users) = tokio::join!(chats, users);
    format!("{}\n{}", chat_tables(&chats), user_table(&users))
}

fn is_same(documented: &str, measured: &str) -> bool {
    let (old, new) = (figures(documented), figures(measured));
    let is_close = |(old, new): (&f64, &f64)| (new - old).abs() <= (old * 0.02).max(0.0101);
    old.len() == new.len() && old.iter().zip(&new).all(is_close)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_cost_is_what_is_measured() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cost.md");
    let document = fs::read_to_string(&path).unwrap();
    let (head, documented) = document.split_once(BEGIN).expect("docs/cost.md has the line before the tables");
    let mut measurement = measured().await;
    if env::var_os("UPDATE_COST").is_some() {
        fs::write(&path, format!("{head}{BEGIN}\n{measurement}")).unwrap();
        return;
    }
    // On a busy machine a call may time out and be repeated, which costs more.
    for _ in 0..2 {
        if is_same(documented, &measurement) {
            return;
        }
        measurement = measured().await;
    }
    let same = is_same(documented, &measurement);
    assert!(same, "the cost has changed; UPDATE_COST=1 writes docs/cost.md anew:\n{measurement}");
}
