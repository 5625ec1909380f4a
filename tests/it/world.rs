//! What the tests talk to: a deployment of Confab, its users, and their sockets.
//!
//! Without further ado each test starts a laptop cloud of its own. With `CONFAB_URL` set, all tests but those that need a cloud of
//! their own (their module says so) run against that deployment; `CONFAB_WEBSOCKET_URL`, `TOPIC_ARN`, `TABLE_NAME`,
//! `FANOUT_QUEUE_URL`, `DEAD_LETTER_QUEUE_URL` and the AWS variables must then be set too.

use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_types::{SdkConfig, region::Region};
use confab_cloud::{Cloud, Functions, Keys, Options, Ports, Template, TimeLimits};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message, client::IntoClientRequest, error::Error as SocketError, handshake::client::Request,
        protocol::CloseFrame,
    },
};

use tracing_subscriber::EnvFilter;

use crate::documents;

/// Nothing takes this long unless it is broken.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A deployment.
pub struct World {
    pub http_url: String,
    pub websocket_url: String,
    /// AWS's variables, and the outputs of the template.
    pub environment: BTreeMap<String, String>,
    pub client: reqwest::Client,
    pub cloud: Option<Cloud>,
}

/// The options of a laptop cloud for tests: free ports, everything in this process.
pub fn options() -> Options {
    Options {
        template: template(),
        parameters: generous(),
        stack_name: "confab".to_owned(),
        ports: Ports::default(),
        data: None,
        functions: Functions::InProcess(Arc::new(confab_functions::handler)),
        website: None,
        environment: BTreeMap::new(),
        keys: Keys::random().unwrap(),
        hosts: Vec::new(),
        limits: TimeLimits::default(),
    }
}

/// All users of a test come from one address, and say more than people do.
fn generous() -> BTreeMap<String, String> {
    let unlimited = ["PostsPerMinute", "MarkersPerMinute", "LookupsPerHour", "SocketsPerUser", "AttemptsPerAddress"];
    unlimited.map(|name| (name.to_owned(), "0".to_owned())).into()
}

pub fn template() -> Template {
    Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap()
}

impl World {
    /// The deployment that the environment names, or else a laptop cloud.
    pub async fn any() -> Self {
        match env::var("CONFAB_URL") {
            Ok(http_url) => Self {
                http_url: http_url.trim_end_matches('/').to_owned(),
                websocket_url: env::var("CONFAB_WEBSOCKET_URL").expect("CONFAB_WEBSOCKET_URL goes with CONFAB_URL"),
                environment: env::vars().collect(),
                client: reqwest::Client::new(),
                cloud: None,
            },
            Err(_) => Self::own(options()).await,
        }
    }

    /// A laptop cloud, whatever the environment says.
    pub async fn own(options: Options) -> Self {
        // What goes wrong inside is worth seeing beside a test that fails; RUST_LOG shows more.
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,dynoxide=error"));
        let _ = tracing_subscriber::fmt().with_env_filter(filter).try_init();
        let cloud = Cloud::start(options).await.unwrap();
        let mut environment = cloud.client_environment();
        let outputs = [
            ("TableName", "TABLE_NAME"),
            ("TopicArn", "TOPIC_ARN"),
            ("FanoutQueueUrl", "FANOUT_QUEUE_URL"),
            ("DeadLettersUrl", "DEAD_LETTER_QUEUE_URL"),
        ];
        for (output, variable) in outputs {
            environment.insert(variable.to_owned(), cloud.outputs()[output].clone());
        }
        Self {
            http_url: cloud.http_url(),
            websocket_url: cloud.websocket_url().unwrap(),
            environment,
            client: reqwest::Client::new(),
            cloud: Some(cloud),
        }
    }

    pub fn variable(&self, name: &str) -> &str {
        self.environment.get(name).unwrap_or_else(|| panic!("{name} is not set"))
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.http_url)).timeout(DEADLINE)
    }

    /// Registers and logs in somebody whose name starts like this and is not taken.
    pub async fn user(&self, name: &str) -> User<'_> {
        let username = unique(name);
        let form = json!({ "username": username, "password": PASSWORD });
        let registered = answer(self.request(Method::POST, "/auth/users/create/").json(&form)).await;
        assert_eq!(registered.0, StatusCode::CREATED, "{}", registered.1);
        let id = registered.1["id"].as_u64().unwrap();
        let token = self.log_in(&username).await;
        User { world: self, username, id, token }
    }

    pub async fn log_in(&self, username: &str) -> String {
        let form = json!({ "username": username, "password": PASSWORD });
        let (status, body) = answer(self.request(Method::POST, "/auth/token/create/").json(&form)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["auth_token"].as_str().unwrap().to_owned()
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.aws("DYNAMODB"))
    }

    /// All items of a partition.
    pub async fn items(&self, pk: &str) -> Vec<HashMap<String, AttributeValue>> {
        let query = self.dynamodb().query().table_name(self.variable("TABLE_NAME")).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()));
        query.send().await.unwrap().items.unwrap_or_default()
    }

    /// Has a chat's session say another number behind everybody's back.
    pub async fn set(&self, uri: &str, attribute: &str, number: u64) {
        let update = self.dynamodb().update_item().table_name(self.variable("TABLE_NAME"));
        let update = update.key("pk", AttributeValue::S(format!("CHAT#{uri}")));
        let update = update.key("sk", AttributeValue::S("SESSION".to_owned()));
        let update =
            update.update_expression("SET #attribute = :number").expression_attribute_names("#attribute", attribute);
        update.expression_attribute_values(":number", AttributeValue::N(number.to_string())).send().await.unwrap();
    }

    /// Deletes an item behind everybody's back.
    pub async fn delete(&self, pk: &str, sk: &str) {
        let delete = self.dynamodb().delete_item().table_name(self.variable("TABLE_NAME"));
        let delete = delete.key("pk", AttributeValue::S(pk.to_owned())).key("sk", AttributeValue::S(sk.to_owned()));
        delete.send().await.unwrap();
    }

    /// Sets when the tokens of a user expire, in seconds from now.
    pub async fn expire_tokens(&self, user: &User<'_>, seconds: i64) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64 + seconds;
        for token in self.items(&format!("TOKENS#{}", user.id)).await {
            let update = self.dynamodb().update_item().table_name(self.variable("TABLE_NAME"));
            let update = update.key("pk", token["pk"].clone()).key("sk", token["sk"].clone());
            let update = update.update_expression("SET expires_at = :at");
            update.expression_attribute_values(":at", AttributeValue::N(at.to_string())).send().await.unwrap();
        }
    }

    pub fn sns(&self) -> aws_sdk_sns::Client {
        aws_sdk_sns::Client::new(&self.aws("SNS"))
    }

    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.aws("SQS"))
    }

    fn aws(&self, service: &str) -> SdkConfig {
        let session = self.environment.get("AWS_SESSION_TOKEN").cloned();
        let (id, secret) = (self.variable("AWS_ACCESS_KEY_ID"), self.variable("AWS_SECRET_ACCESS_KEY"));
        let mut config = SdkConfig::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(Region::new(self.variable("AWS_REGION").to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(id, secret, session, None, "tests")));
        let endpoint = self.environment.get(&format!("AWS_ENDPOINT_URL_{service}"));
        config.set_endpoint_url(endpoint.or_else(|| self.environment.get("AWS_ENDPOINT_URL")).cloned());
        config.build()
    }

    /// Publishes to the exchange as a program that has never heard of Confab would.
    pub async fn publish(&self, uri: &str, body: &str) {
        let publish = self.sns().publish().topic_arn(self.variable("TOPIC_ARN")).message_group_id(uri);
        publish.message_deduplication_id(unique("published")).message(body).send().await.unwrap();
    }

    /// Whether this is the emulator of `tests/deployment.py`, which is wrong in places; where it is, a test says so.
    pub fn emulator(&self) -> bool {
        self.environment.contains_key("CONFAB_EMULATOR")
    }

    /// The status with which a socket is refused. The emulator has 403 for all.
    pub fn refusal(&self, status: u16) -> Option<u16> {
        Some(if self.emulator() { 403 } else { status })
    }

    /// A laptop cloud that runs in another process, as far as HTTP and WebSocket reach.
    pub fn at(port: u16) -> Self {
        Self {
            http_url: format!("http://127.0.0.1:{port}"),
            websocket_url: format!("ws://127.0.0.1:{port}/ws"),
            environment: BTreeMap::new(),
            client: reqwest::Client::new(),
            cloud: None,
        }
    }

    /// Opens a socket, unless that fails for any reason.
    pub async fn try_open(&self, headers: &[(&'static str, &str)]) -> Option<Socket> {
        self.open_or_fail("", headers).await.ok()
    }

    /// Tries to open a socket.
    pub async fn open(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        match self.open_or_fail(query, headers).await {
            Ok(socket) => Ok(socket),
            Err(SocketError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn open_or_fail(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, SocketError> {
        let mut request: Request = format!("{}{query}", self.websocket_url).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let (stream, response) = connect_async(request).await?;
        let protocol = response.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
        Ok(Socket { stream, lines: Vec::new(), known: None, frames: 0, protocol })
    }
}

pub const PASSWORD: &str = "Str0ng-pass-phrase";

/// A name that nobody else has.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

/// The status and the JSON of an answer.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let json = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
    let body = match headers.get("content-type") {
        None => Value::Null,
        // The emulator says of what type nothing is.
        Some(_) if status == StatusCode::NO_CONTENT && text.is_empty() => Value::Null,
        Some(kind) if kind == "application/x-ndjson" => text.lines().map(json).collect(),
        Some(_) => json(&text),
    };
    // The gateway answers by itself with a `message`, which the document has in words.
    if headers.contains_key("x-request-id") && (status.is_success() || !body["message"].is_string()) {
        documents::check_answer(&method, &path, status, &body);
    }
    (status, body)
}

/// Somebody who is logged in.
pub struct User<'a> {
    pub world: &'a World,
    pub username: String,
    pub id: u64,
    pub token: String,
}

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.world.request(method, path).header("Authorization", format!("Token {}", self.token))
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        answer(self.request(method, path).json(&body)).await
    }

    pub async fn start_chat(&self) -> String {
        let (status, body) = answer(self.request(Method::POST, "/api/chats/")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["uri"].as_str().unwrap().to_owned()
    }

    pub async fn join(&self, uri: &str) {
        let (status, body) =
            self.call(Method::PATCH, &format!("/api/chats/{uri}/"), json!({ "username": self.username })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// Posts a message and gives its id.
    pub async fn post(&self, uri: &str, message: &str) -> u64 {
        let (status, body) =
            self.call(Method::POST, &format!("/api/chats/{uri}/messages/"), json!({ "message": message })).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["id"].as_u64().unwrap()
    }

    /// The whole history, page after page.
    pub async fn history(&self, uri: &str) -> Vec<Value> {
        let mut messages = Vec::new();
        let mut path = Some(format!("/api/chats/{uri}/messages/?after=0"));
        while let Some(next) = path {
            let (status, body) = self.get(&next).await;
            assert_eq!(status, StatusCode::OK, "{body}");
            messages.extend(body["messages"].as_array().unwrap().clone());
            path = body["next"].as_str().map(|url| url[url.find("/api/").unwrap()..].to_owned());
        }
        messages
    }

    /// Writes messages of this user's into the table as the log of a chat that has none, as an import would: thousands of them
    /// take no time, and nobody is told.
    pub async fn write_log(&self, uri: &str, messages: &[&str]) {
        let attribute = |value: &str| AttributeValue::S(value.to_owned());
        let items = (1..).zip(messages).map(|(id, message): (u64, _)| {
            let put = PutRequest::builder()
                .item("pk", attribute(&format!("LOG#{uri}")))
                .item("sk", attribute(&format!("{id:016}")))
                .item("type", attribute("message"))
                .item("user_id", AttributeValue::N(self.id.to_string()))
                .item("message", attribute(message))
                .item("imported", AttributeValue::Bool(true))
                .item("create_date", attribute("2026-01-01T00:00:00.000000Z"));
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        });
        let (dynamodb, table) = (self.world.dynamodb(), self.world.variable("TABLE_NAME"));
        for batch in items.collect::<Vec<_>>().chunks(25) {
            dynamodb.batch_write_item().request_items(table, batch.to_vec()).send().await.unwrap();
        }
        let update = dynamodb.update_item().table_name(table).key("pk", attribute(&format!("CHAT#{uri}")));
        let update = update.key("sk", attribute("SESSION")).update_expression("SET last_id = :id");
        let last_id = AttributeValue::N(messages.len().to_string());
        update.expression_attribute_values(":id", last_id).send().await.unwrap();
    }

    /// Writes tokens of this user's into the table that were issued long ago, one a second, and gives their hashes, the oldest first.
    pub async fn add_old_tokens(&self, count: u64) -> Vec<String> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let hash = |n: u64| hex::encode(Sha256::digest(format!("{} {n}", self.id)));
        let items = (0..count).map(|n| {
            let put = PutRequest::builder()
                .item("pk", text(&format!("TOKENS#{}", self.id)))
                .item("sk", text(&hash(n)))
                .item("epoch", AttributeValue::N("0".to_owned()))
                .item("create_date", text(&format!("2020-01-01T00:{:02}:{:02}.000000Z", n / 60, n % 60)))
                .item("expires_at", AttributeValue::N("9999999999".to_owned()));
            WriteRequest::builder().put_request(put.build().unwrap()).build()
        });
        for batch in items.collect::<Vec<_>>().chunks(25) {
            let write = self.world.dynamodb().batch_write_item();
            write.request_items(self.world.variable("TABLE_NAME"), batch.to_vec()).send().await.unwrap();
        }
        (0..count).map(hash).collect()
    }

    pub async fn socket(&self) -> Socket {
        self.world.open("", &[("authorization", &format!("Token {}", self.token))]).await.unwrap()
    }

    /// A socket that is subscribed to a chat. What was there before may still be on its way to it, and is passed over.
    pub async fn subscribed(&self, uri: &str) -> Socket {
        let mut socket = self.socket().await;
        socket.send(&json!({ "action": "subscribe", "uri": uri })).await;
        let subscribed = socket.next_of("subscribed").await;
        socket.known = Some((uri.to_owned(), subscribed["last_id"].as_u64().unwrap()));
        socket
    }
}

impl User<'_> {
    /// Leaves a connection in the table that ended without API Gateway's telling of it, subscribed to a chat, and gives the
    /// keys of its items.
    pub async fn leave_stale_connection(&self, uri: &str) -> Vec<HashMap<String, AttributeValue>> {
        let id = unique("stale=");
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let common = [
            ("connection_id", text(&id)),
            ("user_id", AttributeValue::N(self.id.to_string())),
            ("token", text("gone")),
            ("connect_date", text("2020-01-01T00:00:00.000000Z")),
            ("expires_at", AttributeValue::N("9999999999".to_owned())),
            ("uris", AttributeValue::Ss(vec![uri.to_owned()])),
        ];
        let places = [
            (format!("CONNECTION#{id}"), "CONNECTION".to_owned()),
            (format!("USER#{}", self.id), format!("CONNECTION#{id}")),
            // Last, since whoever hears of it looks at the others.
            (format!("SUBSCRIBERS#{uri}"), format!("{:x}#{id}", Sha256::digest(id.as_bytes())[0] % 16)),
        ];
        let owned = |(name, value): (&str, AttributeValue)| (name.to_owned(), value);
        let mut keys = Vec::new();
        for (pk, sk) in places {
            let key: HashMap<_, _> = [("pk", text(&pk)), ("sk", text(&sk))].map(owned).into();
            let item = key.clone().into_iter().chain(common.clone().map(owned)).collect();
            let put = self.world.dynamodb().put_item().table_name(self.world.variable("TABLE_NAME"));
            put.set_item(Some(item)).send().await.unwrap();
            keys.push(key);
        }
        keys
    }
}

/// An open socket.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    lines: Vec<Value>,
    /// A chat, and an entry of it up to which nothing is news here.
    known: Option<(String, u64)>,
    /// How many frames have come.
    pub frames: usize,
    /// The subprotocol that the server selected.
    pub protocol: Option<String>,
}

impl Socket {
    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.stream.send(Message::binary(bytes.to_vec())).await.unwrap();
    }

    pub async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// Sends, and waits for the answer.
    pub async fn ask(&mut self, frame: &Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// Subscribes from behind an entry. Live entries may come before the answer; they are passed over.
    pub async fn subscribe(&mut self, uri: &str, after: u64) -> Value {
        self.send(&json!({ "action": "subscribe", "uri": uri, "after": after })).await;
        self.next_of("subscribed").await
    }

    /// The next object. Who comes and goes, and that one is in a chat now, is passed over: it is told when it is told.
    pub async fn next(&mut self) -> Value {
        loop {
            let object = self.next_of_any().await;
            if !["online", "offline", "added"].iter().any(|kind| object["type"] == *kind) {
                return object;
            }
        }
    }

    /// The next object of whatever type that is news.
    pub async fn next_of_any(&mut self) -> Value {
        loop {
            match tokio::time::timeout(DEADLINE, self.receive()).await {
                Ok(Ok(object)) if self.knows(&object) => {}
                Ok(Ok(object)) => return object,
                Ok(Err(code)) => panic!("the socket was closed with {code}"),
                Err(_) => panic!("nothing came"),
            }
        }
    }

    /// Whether it is an entry that was there already.
    fn knows(&self, object: &Value) -> bool {
        let is_entry = object.get("user").is_some() && object.get("create_date").is_some();
        let id = object["id"].as_u64().filter(|_| is_entry);
        self.known.as_ref().zip(id).is_some_and(|((uri, last_id), id)| object["uri"] == **uri && id <= *last_id)
    }

    /// Sends, unless the socket is closed.
    pub async fn try_send(&mut self, frame: &Value) -> bool {
        self.stream.send(Message::text(frame.to_string())).await.is_ok()
    }

    /// The next object, or the code with which the socket was closed.
    pub async fn receive(&mut self) -> Result<Value, u16> {
        while self.lines.is_empty() {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.frames += 1;
                    self.lines = text.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
                    self.lines.iter().for_each(documents::check_line);
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(1006),
            }
        }
        Ok(self.lines.remove(0))
    }

    /// The next line as it stands; what follows it in its frame is lost. Presence is passed over, as by `next`.
    pub async fn next_text(&mut self) -> String {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.stream.next()).await.expect("nothing came");
            let Message::Text(text) = message.unwrap().unwrap() else { continue };
            let is_news = |line: &&str| {
                let object: Value = serde_json::from_str(line).unwrap();
                !["online", "offline", "added"].iter().any(|kind| object["type"] == *kind)
            };
            if let Some(line) = text.split('\n').find(is_news) {
                return line.to_owned();
            }
        }
    }

    /// The next object of this type; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let object = self.next().await;
            if object["type"] == kind {
                return object;
            }
        }
    }

    /// Everything up to and including the message with this text.
    pub async fn until(&mut self, message: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            all.push(self.next().await);
            if all.last().unwrap()["message"] == message {
                return all;
            }
        }
    }

    /// Waits for the server to close the socket, and gives the code.
    pub async fn closed(mut self) -> u16 {
        let closed = async {
            loop {
                if let Err(code) = self.receive().await {
                    return code;
                }
            }
        };
        tokio::time::timeout(DEADLINE, closed).await.expect("the socket stayed open")
    }

    /// Closes with a code, and gives the one that the server answers with.
    pub async fn close_with(mut self, code: u16) -> Option<u16> {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.stream.close(Some(frame)).await.unwrap();
        while let Ok(Some(Ok(message))) = tokio::time::timeout(DEADLINE, self.stream.next()).await {
            if let Message::Close(frame) = message {
                return frame.map(|frame| frame.code.into());
            }
        }
        None
    }

    pub async fn close(mut self) {
        self.stream.close(None).await.unwrap();
    }
}

/// Asks again and again until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let asked = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}
