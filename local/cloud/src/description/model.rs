//! The resources of a template that run on this machine.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use super::filter::Filter;

/// A Lambda function.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The name of its handler or binary, or else its logical id.
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    /// Gigabytes.
    pub(crate) memory: f64,
    pub(crate) environment: BTreeMap<String, String>,
    /// Its policies as the template has them.
    pub(crate) policies: Value,
    /// The ARN of its role, if the template names one.
    pub(crate) role: Option<String>,
}

/// A route of the HTTP API; `$default` has neither method nor path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpRoute {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) function: String,
}

impl HttpRoute {
    /// The route key, such as `GET /path`.
    pub(crate) fn key(&self) -> String {
        match self.path.as_str() {
            "" => "$default".to_owned(),
            path => format!("{} {path}", self.method),
        }
    }
}

/// The CORS configuration of an HTTP API.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Cors {
    pub(crate) allow_origins: Vec<String>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) allow_credentials: bool,
    pub(crate) max_age: Option<u64>,
}

/// The throttling settings of a route, each of which may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteThrottling {
    /// Requests per second.
    pub(crate) rate: Option<f64>,
    pub(crate) burst: Option<u32>,
}

/// The throttling settings of an API's stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Throttling {
    pub(crate) default: RouteThrottling,
    /// By route key.
    pub(crate) routes: BTreeMap<String, RouteThrottling>,
}

/// The HTTP API.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpApi {
    pub(crate) routes: Vec<HttpRoute>,
    pub(crate) cors: Option<Cors>,
    pub(crate) throttling: Throttling,
}

/// A route of the WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketRoute {
    pub(crate) function: String,
    /// Whether the function's response is sent to the client.
    pub(crate) responds: bool,
}

/// The WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct WebSocketApi {
    pub(crate) id: String,
    pub(crate) stage: String,
    /// The path in a frame to the member that names its route.
    pub(crate) selection: Vec<String>,
    pub(crate) routes: BTreeMap<String, WebSocketRoute>,
    pub(crate) throttling: Throttling,
}

/// An SQS event source: a queue and the function that handles its messages.
#[derive(Clone, Debug)]
pub(crate) struct QueueSource {
    pub(crate) queue_arn: String,
    pub(crate) function: String,
    pub(crate) batch_size: i32,
    pub(crate) reports_failures: bool,
    pub(crate) concurrency: usize,
}

/// A DynamoDB Streams event source: a table and the function that handles its changes.
#[derive(Clone, Debug)]
pub(crate) struct StreamSource {
    pub(crate) table: String,
    pub(crate) function: String,
    pub(crate) starting_position: String,
    pub(crate) batch_size: usize,
    /// The batching window: how long a batch may wait for more records.
    pub(crate) window: Duration,
    pub(crate) filter: Filter,
    /// How often a batch is retried, and how old its records may get; `None` for no limit.
    pub(crate) retries: Option<u64>,
    pub(crate) record_age: Option<Duration>,
    pub(crate) bisects: bool,
    pub(crate) reports_failures: bool,
    /// The queue for discarded batches (`OnFailure`).
    pub(crate) failures: Option<String>,
}

/// A topic or queue, with the attributes that its service creates it with.
#[derive(Clone, Debug)]
pub(crate) struct NamedResource {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A subscription of a queue to a topic.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) topic_arn: String,
    pub(crate) queue_arn: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A table: the request that creates it, its name, and the attribute for time to live.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) creation: Value,
    pub(crate) name: String,
    pub(crate) expires_by: Option<String>,
}

/// All resources of a template that run on this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) functions: BTreeMap<String, Function>,
    /// The properties of IAM roles, by ARN.
    pub(crate) roles: BTreeMap<String, Value>,
    pub(crate) http: HttpApi,
    pub(crate) websocket: Option<WebSocketApi>,
    pub(crate) queue_sources: Vec<QueueSource>,
    pub(crate) stream_sources: Vec<StreamSource>,
    pub(crate) tables: Vec<Table>,
    pub(crate) topics: Vec<NamedResource>,
    pub(crate) queues: Vec<NamedResource>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) website_headers: BTreeMap<String, String>,
    pub(crate) outputs: BTreeMap<String, String>,
}
