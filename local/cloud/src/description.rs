//! What a resolved template describes, as far as it can run here: functions and what reaches them, tables, topics, queues.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    filter::Filter,
    template::{Names, Resolved, TemplateError},
    website::policy_headers,
};

/// The account, region and partition that everything here belongs to.
pub(crate) const ACCOUNT: &str = "000000000000";
pub(crate) const REGION: &str = "us-east-1";
const DOMAIN: &str = "amazonaws.com";
/// The domain name that a distribution would have.
const WEBSITE: &str = "website.cloudfront.net";

/// Where things are served on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    /// The HTTP and the WebSocket API, with neither scheme nor path.
    pub(crate) gateway: String,
    pub(crate) dynamodb: String,
    pub(crate) sns: String,
    pub(crate) sqs: String,
}

/// A stack by this name, on these addresses.
pub(crate) struct Stack<'a> {
    pub(crate) name: &'a str,
    pub(crate) addresses: &'a Addresses,
}

fn arn(service: &str, rest: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{rest}")
}

impl Stack<'_> {
    /// The name that a resource has in its service.
    fn name_of(&self, logical_id: &str, resource: &Value) -> String {
        let properties = &resource["Properties"];
        let given = ["TableName", "TopicName", "QueueName"].iter().find_map(|name| properties[name].as_str());
        let is_fifo = is_true(&properties["FifoQueue"]) || is_true(&properties["FifoTopic"]);
        match given {
            Some(name) => name.to_owned(),
            None => format!("{}-{logical_id}{}", self.name, if is_fifo { ".fifo" } else { "" }),
        }
    }

    /// Replaces the addresses that APIs would have on AWS by those that they have here.
    fn localize(&self, value: Value, api_ids: &[String]) -> Value {
        match value {
            Value::String(mut text) => {
                let here = &self.addresses.gateway;
                text = text.replace(&format!("https://{WEBSITE}"), &format!("http://{here}"));
                for id in api_ids {
                    let host = format!("{id}.execute-api.{REGION}.{DOMAIN}");
                    text = text.replace(&format!("wss://{host}"), &format!("ws://{here}"));
                    text = text.replace(&format!("https://{host}"), &format!("http://{here}"));
                }
                Value::String(text)
            }
            Value::Array(elements) => elements.into_iter().map(|element| self.localize(element, api_ids)).collect(),
            Value::Object(members) => {
                Value::Object(members.into_iter().map(|(name, value)| (name, self.localize(value, api_ids))).collect())
            }
            plain => plain,
        }
    }
}

fn api_id(logical_id: &str) -> String {
    logical_id.to_lowercase()
}

impl Names for Stack<'_> {
    fn reference(&self, logical_id: &str, resource: &Value) -> Value {
        let name = self.name_of(logical_id, resource);
        json!(match resource["Type"].as_str().unwrap_or_default() {
            "AWS::DynamoDB::Table" => name,
            "AWS::SNS::Topic" => arn("sns", &name),
            "AWS::SQS::Queue" => format!("{}/{ACCOUNT}/{name}", self.addresses.sqs),
            "AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi" => api_id(logical_id),
            _ => logical_id.to_owned(),
        })
    }

    fn attribute(&self, logical_id: &str, resource: &Value, attribute: &str) -> Option<Value> {
        let name = self.name_of(logical_id, resource);
        let kind = resource["Type"].as_str().unwrap_or_default();
        Some(json!(match (kind, attribute) {
            ("AWS::DynamoDB::Table", "Arn") => arn("dynamodb", &format!("table/{name}")),
            ("AWS::DynamoDB::Table", "StreamArn") => arn("dynamodb", &format!("table/{name}/stream/latest")),
            ("AWS::SNS::Topic", "TopicArn") => arn("sns", &name),
            ("AWS::SNS::Topic", "TopicName") => name,
            ("AWS::SQS::Queue", "Arn") => arn("sqs", &name),
            ("AWS::SQS::Queue", "QueueName") => name,
            ("AWS::SQS::Queue", "QueueUrl") => return Some(self.reference(logical_id, resource)),
            ("AWS::Serverless::Function", "Arn") => arn("lambda", &format!("function:{logical_id}")),
            ("AWS::Serverless::HttpApi" | "AWS::Serverless::WebSocketApi", "ApiId") => api_id(logical_id),
            ("AWS::CloudFront::Distribution", "DomainName") => WEBSITE.to_owned(),
            // Roles, log groups and the like exist only on AWS; their attributes are names and nothing more.
            ("AWS::SNS::Topic" | "AWS::SQS::Queue" | "AWS::DynamoDB::Table" | "AWS::Serverless::Function", _) => {
                return None;
            }
            (_, attribute) => format!("{logical_id}.{attribute}"),
        }))
    }

    fn pseudo(&self, name: &str) -> Option<Value> {
        Some(match name {
            "AWS::Region" => json!(REGION),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!(DOMAIN),
            "AWS::StackName" => json!(self.name),
            "AWS::StackId" => json!(arn("cloudformation", &format!("stack/{}/local", self.name))),
            "AWS::NoValue" => Value::Null,
            _ => return None,
        })
    }
}

/// A Lambda function.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    /// The name of its handler or its binary, or else its logical id.
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A route of the HTTP API; `$default` has neither method nor path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpRoute {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) function: String,
}

/// What an HTTP API lets other origins do.
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

/// The HTTP API.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpApi {
    pub(crate) routes: Vec<HttpRoute>,
    pub(crate) cors: Option<Cors>,
}

/// A route of the WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct SocketRoute {
    pub(crate) function: String,
    /// Whether what the function returns goes back over the socket.
    pub(crate) responds: bool,
}

/// The WebSocket API.
#[derive(Clone, Debug)]
pub(crate) struct SocketApi {
    pub(crate) stage: String,
    /// The members to follow from a frame's top to the one that names its route.
    pub(crate) selection: Vec<String>,
    pub(crate) routes: BTreeMap<String, SocketRoute>,
}

/// A queue that a function is fed from.
#[derive(Clone, Debug)]
pub(crate) struct QueueSource {
    pub(crate) queue_arn: String,
    pub(crate) function: String,
    pub(crate) batch_size: i32,
    pub(crate) reports_failures: bool,
    pub(crate) concurrency: usize,
}

/// A table whose stream feeds a function.
#[derive(Clone, Debug)]
pub(crate) struct StreamSource {
    pub(crate) table: String,
    pub(crate) function: String,
    pub(crate) starting_position: String,
    pub(crate) batch_size: usize,
    /// How long a batch may wait for more.
    pub(crate) window: Duration,
    pub(crate) filter: Filter,
    /// How often a batch is tried again, and how old its records may get; `None` for no limit.
    pub(crate) retries: Option<u64>,
    pub(crate) record_age: Option<Duration>,
    pub(crate) bisects: bool,
    pub(crate) reports_failures: bool,
    /// The queue that is told of what was given up.
    pub(crate) failures: Option<String>,
}

/// A topic, queue or subscription, with the attributes by which its service creates it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
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

/// A table: its name, what CreateTable takes, and which attribute its items expire by.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) creation: Value,
    pub(crate) name: String,
    pub(crate) expires_by: Option<String>,
}

/// All that a template describes and that runs here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description {
    pub(crate) functions: BTreeMap<String, Function>,
    pub(crate) http: HttpApi,
    pub(crate) sockets: Option<SocketApi>,
    pub(crate) queue_sources: Vec<QueueSource>,
    pub(crate) stream_sources: Vec<StreamSource>,
    pub(crate) tables: Vec<Table>,
    pub(crate) topics: Vec<Named>,
    pub(crate) queues: Vec<Named>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) website_headers: BTreeMap<String, String>,
    pub(crate) outputs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionProperties {
    #[serde(default = "default_timeout")]
    timeout: u64,
    #[serde(default)]
    environment: EnvironmentProperties,
    #[serde(default)]
    events: BTreeMap<String, EventProperties>,
}

/// Lambda's own default.
fn default_timeout() -> u64 {
    3
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EnvironmentProperties {
    variables: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventProperties {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default)]
    properties: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueEvent {
    queue: String,
    #[serde(default = "default_batch_size")]
    batch_size: i32,
    #[serde(default)]
    function_response_types: Vec<String>,
    #[serde(default)]
    scaling_config: ScalingConfig,
}

fn default_batch_size() -> i32 {
    10
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamEvent {
    stream: String,
    starting_position: String,
    #[serde(default = "default_stream_batch_size")]
    batch_size: usize,
    #[serde(default)]
    maximum_batching_window_in_seconds: u64,
    #[serde(default)]
    filter_criteria: FilterCriteria,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    #[serde(default)]
    bisect_batch_on_function_error: bool,
    #[serde(default)]
    function_response_types: Vec<String>,
    #[serde(default)]
    destination_config: DestinationConfig,
}

fn default_stream_batch_size() -> usize {
    100
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterCriteria {
    filters: Vec<FilterProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterProperties {
    pattern: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DestinationConfig {
    on_failure: Option<OnFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnFailure {
    destination: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ScalingConfig {
    maximum_concurrency: usize,
}

impl Default for ScalingConfig {
    fn default() -> Self {
        // Lambda starts with five pollers for an SQS queue
        // (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html).
        Self { maximum_concurrency: 5 }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SocketProperties {
    #[serde(default = "default_stage")]
    stage_name: String,
    route_selection_expression: String,
    routes: BTreeMap<String, SocketRouteProperties>,
}

fn default_stage() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SocketRouteProperties {
    function_arn: String,
    route_response_selection_expression: Option<String>,
}

impl Description {
    pub(crate) fn of(resolved: Resolved, stack: &Stack<'_>) -> Result<Self, TemplateError> {
        let is_api = |resource: &Value| resource["Type"].as_str().is_some_and(|kind| kind.ends_with("Api"));
        let apis = resolved.resources.iter().filter(|(_, resource)| is_api(resource));
        let api_ids: Vec<String> = apis.map(|(id, _)| api_id(id)).collect();
        let mut description = Self::default();
        for (logical_id, resource) in resolved.resources {
            let resource = stack.localize(resource, &api_ids);
            let added = description.add(&logical_id, &resource, stack);
            added.map_err(|problem| TemplateError::wrong(format!("{logical_id}: {problem}")))?;
        }
        for (name, value) in resolved.outputs {
            if let Value::String(text) = stack.localize(value, &api_ids) {
                description.outputs.insert(name, text);
            }
        }
        description.check()?;
        Ok(description)
    }

    fn add(&mut self, logical_id: &str, resource: &Value, stack: &Stack<'_>) -> Result<(), String> {
        let properties = &resource["Properties"];
        let name = stack.name_of(logical_id, resource);
        match resource["Type"].as_str().ok_or("it has no Type")? {
            "AWS::Serverless::Function" => self.add_function(logical_id, resource),
            "AWS::Serverless::HttpApi" => {
                self.http.cors = match properties.get("CorsConfiguration") {
                    Some(cors) => Some(read(cors)?),
                    None => None,
                };
                Ok(())
            }
            "AWS::Serverless::WebSocketApi" => self.add_socket_api(properties),
            "AWS::DynamoDB::Table" => {
                let mut creation = properties.clone();
                let expires_by = creation["TimeToLiveSpecification"]["AttributeName"].as_str().map(str::to_owned);
                let members = creation.as_object_mut().ok_or("it has no Properties")?;
                for only_on_aws in ["TimeToLiveSpecification", "PointInTimeRecoverySpecification", "SSESpecification"] {
                    members.remove(only_on_aws);
                }
                members.insert("TableName".to_owned(), json!(name));
                if let Some(stream) = members.get_mut("StreamSpecification") {
                    stream["StreamEnabled"] = json!(true);
                }
                self.tables.push(Table { creation, name, expires_by });
                Ok(())
            }
            "AWS::SNS::Topic" => {
                let attributes =
                    attributes(properties, &["FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope"]);
                self.topics.push(Named { name, attributes });
                Ok(())
            }
            "AWS::SQS::Queue" => {
                let attributes = attributes(
                    properties,
                    &[
                        "FifoQueue",
                        "ContentBasedDeduplication",
                        "DeduplicationScope",
                        "FifoThroughputLimit",
                        "VisibilityTimeout",
                        "MessageRetentionPeriod",
                        "DelaySeconds",
                        "ReceiveMessageWaitTimeSeconds",
                        "RedrivePolicy",
                    ],
                );
                self.queues.push(Named { name, attributes });
                Ok(())
            }
            "AWS::SNS::Subscription" => {
                // Nobody gets mail or text messages from a laptop.
                if properties["Protocol"] != "sqs" {
                    return Ok(());
                }
                let text = |name: &str| properties[name].as_str().map(str::to_owned).ok_or(format!("it has no {name}"));
                let attributes = attributes(properties, &["RawMessageDelivery", "FilterPolicy", "FilterPolicyScope"]);
                let (topic_arn, queue_arn) = (text("TopicArn")?, text("Endpoint")?);
                self.subscriptions.push(Subscription { topic_arn, queue_arn, attributes });
                Ok(())
            }
            "AWS::CloudFront::ResponseHeadersPolicy" => {
                self.website_headers = policy_headers(properties);
                Ok(())
            }
            // Policies, log groups, alarms: they matter on AWS and have no counterpart here.
            _ => Ok(()),
        }
    }

    fn add_function(&mut self, logical_id: &str, resource: &Value) -> Result<(), String> {
        let properties: FunctionProperties = read(&resource["Properties"])?;
        // Where one program serves several functions, its handler tells which; otherwise a Rust function's handler is
        // `bootstrap` by convention, and its binary has the name.
        let handler = resource["Properties"]["Handler"].as_str().filter(|handler| *handler != "bootstrap");
        let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
        let variables = properties.environment.variables.into_iter();
        let environment =
            variables.map(|(name, value)| (name, value.as_str().map_or(value.to_string(), str::to_owned)));
        let function = Function {
            name: handler.or(binary).unwrap_or(logical_id).to_owned(),
            timeout: Duration::from_secs(properties.timeout),
            environment: environment.collect(),
        };
        self.functions.insert(logical_id.to_owned(), function);
        for event in properties.events.into_values() {
            self.add_event(logical_id, event)?;
        }
        Ok(())
    }

    fn add_event(&mut self, function: &str, event: EventProperties) -> Result<(), String> {
        let text = |name: &str| event.properties[name].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "HttpApi" => {
                let (method, path) = (text("Method").to_uppercase(), text("Path"));
                let function = function.to_owned();
                self.http.routes.push(HttpRoute { method, path, function });
            }
            "SQS" => {
                let event: QueueEvent = read(&event.properties)?;
                self.queue_sources.push(QueueSource {
                    queue_arn: event.queue,
                    function: function.to_owned(),
                    batch_size: event.batch_size,
                    reports_failures: reports_failures(&event.function_response_types),
                    concurrency: event.scaling_config.maximum_concurrency,
                });
            }
            "DynamoDB" => {
                let event: StreamEvent = read(&event.properties)?;
                let at_least_zero = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
                self.stream_sources.push(StreamSource {
                    table: event.stream.split('/').nth(1).unwrap_or_default().to_owned(),
                    function: function.to_owned(),
                    starting_position: event.starting_position,
                    batch_size: event.batch_size,
                    window: Duration::from_secs(event.maximum_batching_window_in_seconds),
                    filter: Filter::read(event.filter_criteria.filters.iter().map(|filter| filter.pattern.as_str()))?,
                    // -1, the default of both, is for ever.
                    retries: at_least_zero(event.maximum_retry_attempts),
                    record_age: at_least_zero(event.maximum_record_age_in_seconds).map(Duration::from_secs),
                    bisects: event.bisect_batch_on_function_error,
                    reports_failures: reports_failures(&event.function_response_types),
                    failures: event.destination_config.on_failure.map(|on| on.destination),
                });
            }
            kind => return Err(format!("events of type {kind} do not run here")),
        }
        Ok(())
    }

    fn add_socket_api(&mut self, properties: &Value) -> Result<(), String> {
        let properties: SocketProperties = read(properties)?;
        let expression = &properties.route_selection_expression;
        let selection = expression.trim_matches(['$', '{', '}']).strip_prefix("request.body.");
        let selection = selection.ok_or(format!("the RouteSelectionExpression {expression} is not understood here"))?;
        let mut routes = BTreeMap::new();
        for (key, route) in properties.routes {
            let function = route.function_arn.rsplit(':').next().unwrap_or_default().to_owned();
            routes.insert(key, SocketRoute { function, responds: route.route_response_selection_expression.is_some() });
        }
        let selection = selection.split('.').map(str::to_owned).collect();
        self.sockets = Some(SocketApi { stage: properties.stage_name, selection, routes });
        Ok(())
    }

    /// Everything that a function is reached by must be there.
    fn check(&self) -> Result<(), TemplateError> {
        let routes = self.sockets.iter().flat_map(|api| api.routes.values().map(|route| &route.function));
        if let Some(function) = routes.into_iter().find(|function| !self.functions.contains_key(*function)) {
            return Err(TemplateError::wrong(format!("there is no function {function}")));
        }
        let queues: Vec<String> = self.queues.iter().map(|queue| arn("sqs", &queue.name)).collect();
        if let Some(source) = self.queue_sources.iter().find(|source| !queues.contains(&source.queue_arn)) {
            return Err(TemplateError::wrong(format!("there is no queue {}", source.queue_arn)));
        }
        let destinations = self.stream_sources.iter().filter_map(|source| source.failures.as_ref());
        if let Some(arn) = destinations.into_iter().find(|arn| !queues.contains(arn)) {
            return Err(TemplateError::wrong(format!("there is no queue {arn}")));
        }
        let has_stream = |source: &StreamSource| {
            let table = self.tables.iter().find(|table| table.name == source.table);
            table.is_some_and(|table| table.creation.get("StreamSpecification").is_some())
        };
        if let Some(source) = self.stream_sources.iter().find(|source| !has_stream(source)) {
            return Err(TemplateError::wrong(format!("there is no table {} with a stream", source.table)));
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

fn reports_failures(response_types: &[String]) -> bool {
    response_types.iter().any(|kind| kind == "ReportBatchItemFailures")
}

/// The named properties as the attributes that SNS and SQS take: texts all.
fn attributes(properties: &Value, names: &[&str]) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    names.iter().filter_map(|name| Some(((*name).to_owned(), text(properties.get(*name)?)))).collect()
}

fn is_true(value: &Value) -> bool {
    matches!(value, Value::Bool(true)) || value.as_str() == Some("true")
}
