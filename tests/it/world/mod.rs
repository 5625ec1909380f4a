//! What the tests run against: a deployment of Confab, its users, and their sockets.
//!
//! By default each test starts a separate laptop cloud. With `CONFAB_URL` set, all tests except those that need a separate
//! laptop cloud (their module says so) run against that deployment; `CONFAB_WEBSOCKET_URL`, `TOPIC_ARN`, `TABLE_NAME`,
//! `FANOUT_QUEUE_URL`, `DEAD_LETTER_QUEUE_URL` and the AWS variables must then be set, too.

mod socket;
mod user;

use std::{
    collections::{BTreeMap, HashMap},
    env,
    net::Ipv4Addr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::types::{AttributeValue, WriteRequest};
use aws_types::{SdkConfig, region::Region};
use confab_cloud::{Cloud, Functions, Keys, LikeAws, Options, Ports, Template, TimeLimits};
use confab_shared::date::Date;
use futures_util::{StreamExt, stream};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tracing_subscriber::{
    EnvFilter,
    fmt::{TestWriter, writer::BoxMakeWriter},
};

pub use self::{socket::Socket, user::User};
use crate::documents;

/// The time-out of every wait; only failures reach it.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What the links in mails begin with.
pub const LINK_BASE: &str = "https://chat.example/";

/// A deployment.
pub struct World {
    pub http_url: String,
    pub websocket_url: String,
    /// The AWS variables, and the outputs of the template.
    pub environment: BTreeMap<String, String>,
    pub client: reqwest::Client,
    pub cloud: Option<Cloud>,
}

/// The options of a laptop cloud for tests: free ports, all functions in this process.
pub fn options() -> Options {
    Options {
        template: template(),
        parameters: generous(),
        stack_name: "confab".to_owned(),
        listen: Ipv4Addr::LOCALHOST.into(),
        ports: Ports::default(),
        data: None,
        functions: Functions::InProcess(Arc::new(confab_functions::handler_with_http_client)),
        website: None,
        documentation: None,
        environment: BTreeMap::new(),
        keys: Keys::random().unwrap(),
        hosts: Vec::new(),
        limits: TimeLimits::default(),
        like_aws: like_aws(),
        metering: false,
    }
}

/// `CONFAB_LIKE_AWS=1` runs the tests with AWS's limits, latencies and permissions.
pub fn like_aws() -> LikeAws {
    match env::var("CONFAB_LIKE_AWS") {
        Ok(_) => LikeAws::preset(),
        Err(_) => LikeAws::default(),
    }
}

/// No rate limits: all users of a test have one address, and post faster than people do. Mails are sent.
fn generous() -> BTreeMap<String, String> {
    let unlimited = ["PostsPerMinute", "MarkersPerMinute", "LookupsPerHour", "SocketsPerUser", "AttemptsPerAddress"];
    let mut parameters: BTreeMap<_, _> = unlimited.map(|name| (name.to_owned(), "0".to_owned())).into();
    let others =
        [("PasswordRequestsPerSecond", "1000"), ("MailSender", "no-reply@chat.example"), ("MailLinkBase", LINK_BASE)];
    parameters.extend(others.map(|(name, value)| (name.to_owned(), value.to_owned())));
    parameters
}

pub fn template() -> Template {
    Template::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../template.yaml")).unwrap()
}

impl World {
    /// The deployment that the environment names, or a separate laptop cloud.
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

    /// A separate laptop cloud, regardless of the environment.
    pub async fn own(options: Options) -> Self {
        log();
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

    /// Registers and logs in a user whose unique name starts with `name`.
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

    /// Writes into the table, in batches. What DynamoDB throttles is sent again.
    pub async fn write(&self, mut requests: Vec<WriteRequest>) {
        let (dynamodb, table) = (self.dynamodb(), self.variable("TABLE_NAME"));
        while !requests.is_empty() {
            let batches = requests.chunks(25).map(|batch| {
                let write = dynamodb.batch_write_item().request_items(table, batch.to_vec());
                async move { write.send().await.unwrap().unprocessed_items.unwrap_or_default() }
            });
            let unprocessed = stream::iter(batches).buffered(8).collect::<Vec<_>>().await;
            requests = unprocessed.into_iter().flat_map(HashMap::into_values).flatten().collect();
        }
    }

    /// Sets a number of a chat directly in the table.
    pub async fn set(&self, uri: &str, attribute: &str, number: u64) {
        let number = AttributeValue::N(number.to_string());
        self.update_chat(uri, &format!("SET {attribute} = :number"), [(":number", number)]).await;
    }

    /// Makes a chat hot, as if an id had just been reserved.
    pub async fn heat(&self, uri: &str) {
        self.update_chat(uri, "SET reserve_date = :now", [(":now", date(Date::now()))]).await;
    }

    /// Reserves ids for messages, and leaves them open, as functions do that are cut off.
    pub async fn reserve(&self, uri: &str, ids: u64) {
        let set = "SET reserve_date = :now, last_id = last_id + :ids, last_message_id = last_id + :ids";
        let values = [(":now", date(Date::now())), (":ids", AttributeValue::N(ids.to_string()))];
        self.update_chat(uri, &format!("{set} ADD message_count :ids"), values).await;
    }

    /// Locks a chat's log for a moment, as a function does that is about to change the members.
    pub async fn lock(&self, uri: &str) {
        let now = Date::now();
        let values = [(":now", date(now)), (":until", date(now.plus(Duration::from_millis(100))))];
        self.update_chat(uri, "SET reserve_date = :now, locked_until = :until", values).await;
    }

    async fn update_chat<const N: usize>(&self, uri: &str, expression: &str, values: [(&str, AttributeValue); N]) {
        let update = self.dynamodb().update_item().table_name(self.variable("TABLE_NAME"));
        let update = update.key("pk", AttributeValue::S(format!("CHAT#{uri}")));
        let update = update.key("sk", AttributeValue::S("SESSION".to_owned()));
        let values = values.map(|(name, value)| (name.to_owned(), value)).into();
        let update = update.update_expression(expression).set_expression_attribute_values(Some(values));
        update.send().await.unwrap();
    }

    /// Deletes an item directly in the table.
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

    pub fn ses(&self) -> aws_sdk_sesv2::Client {
        aws_sdk_sesv2::Client::new(&self.aws("SESV2"))
    }

    /// The mails to an address that the laptop cloud has sent, the latest first.
    pub async fn mails(&self, to: &str) -> Vec<Value> {
        let (status, body) = answer(self.request(Method::GET, &format!("/_mail/api?to={to}"))).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["mails"].as_array().unwrap().clone()
    }

    pub fn aws(&self, service: &str) -> SdkConfig {
        let session = self.environment.get("AWS_SESSION_TOKEN").filter(|token| !token.is_empty()).cloned();
        let (id, secret) = (self.variable("AWS_ACCESS_KEY_ID"), self.variable("AWS_SECRET_ACCESS_KEY"));
        let mut config = SdkConfig::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest())
            .region(Region::new(self.variable("AWS_REGION").to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(id, secret, session, None, "tests")));
        let endpoint = self.environment.get(&format!("AWS_ENDPOINT_URL_{service}"));
        config.set_endpoint_url(endpoint.or_else(|| self.environment.get("AWS_ENDPOINT_URL")).cloned());
        config.build()
    }

    /// Publishes to the exchange as an unrelated program would.
    pub async fn publish(&self, uri: &str, body: &str) {
        let publish = self.sns().publish().topic_arn(self.variable("TOPIC_ARN")).message_group_id(uri);
        publish.message_deduplication_id(unique("published")).message(body).send().await.unwrap();
    }

    /// Whether this is the emulator of `tests/deployment.py`, which differs from AWS in places; tests say where.
    pub fn emulator(&self) -> bool {
        self.environment.contains_key("CONFAB_EMULATOR")
    }

    /// The status with which a connection is rejected. The emulator has 403 for all.
    pub fn rejection(&self, status: u16) -> Option<u16> {
        Some(if self.emulator() { 403 } else { status })
    }

    /// A laptop cloud in another process, for HTTP and WebSocket only.
    pub fn at(port: u16) -> Self {
        Self {
            http_url: format!("http://127.0.0.1:{port}"),
            websocket_url: format!("ws://127.0.0.1:{port}/ws"),
            environment: BTreeMap::new(),
            client: reqwest::Client::new(),
            cloud: None,
        }
    }

    /// Opens a socket, or returns nothing after any failure.
    pub async fn try_open(&self, headers: &[(&'static str, &str)]) -> Option<Socket> {
        self.open_or_fail("", headers).await.ok()
    }

    /// Opens a socket, or returns the status with which it was rejected.
    pub async fn open(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
        match self.open_or_fail(query, headers).await {
            Ok(socket) => Ok(socket),
            Err(SocketError::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn open_or_fail(&self, query: &str, headers: &[(&'static str, &str)]) -> Result<Socket, SocketError> {
        Socket::connect(&format!("{}{query}", self.websocket_url), headers).await
    }
}

/// Shows the warnings of a test if it fails; `RUST_LOG` shows what it selects of all tests.
fn log() {
    let (filter, writer) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, BoxMakeWriter::new(std::io::stdout)),
        // The test harness captures this writer, also in threads that a test starts, such as those of its runtime.
        Err(_) => (EnvFilter::new("warn,dynoxide=error"), BoxMakeWriter::new(TestWriter::new())),
    };
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).try_init();
}

pub const PASSWORD: &str = "Str0ng-pass-phrase";

/// A unique name.
pub fn unique(name: &str) -> String {
    format!("{name}-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

/// The status and the JSON of a response.
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
        // The emulator sends a `content-type` without a body.
        Some(_) if status == StatusCode::NO_CONTENT && text.is_empty() => Value::Null,
        Some(_) if method == Method::HEAD => Value::Null,
        Some(kind) if kind == "application/x-ndjson" => text.lines().map(json).collect(),
        Some(_) => json(&text),
    };
    // The gateway's own responses have a `message`; the document describes them in prose.
    if headers.contains_key("x-request-id") && (status.is_success() || !body["message"].is_string()) {
        documents::check_answer(&method, &path, status, &body);
    }
    (status, body)
}

/// Polls until the check is true.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let asked = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

fn date(date: Date) -> AttributeValue {
    AttributeValue::S(date.to_string())
}
