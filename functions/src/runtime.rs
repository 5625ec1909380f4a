//! Between Lambda and the endpoints: events in, answers out. The laptop cloud calls [`Function::invoke`] with the very
//! events that Lambda would.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use aws_lambda_events::{
    apigw::ApiGatewayWebsocketProxyRequest,
    dynamodb::{Event as StreamEvent, EventRecord},
    sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent},
};
use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
    api::websocket::{ClientFrame, ConnectRequest, error_frame},
    aws::table::Key,
    environment::Environment,
    error::Invalid,
    metrics::{self, Metrics},
    realtime::batch::{Batch, Record},
    realtime::stream::StreamRecord,
};
use lambda_runtime::{BoxFuture, Context, LambdaEvent, service_fn};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use tracing_subscriber::filter::LevelFilter;

use crate::http_event;

/// What an invocation fails with.
pub type Error = lambda_runtime::Error;

/// A function, by what it is called with.
#[derive(Clone, Copy, Debug)]
pub enum Function {
    /// A request to the HTTP API.
    Http(for<'a> fn(&'a Confab, &'a Request) -> BoxFuture<'a, Result<Answer>>),
    /// A socket that wants to open; it may be given a subprotocol.
    Open(for<'a> fn(&'a Confab, &'a ConnectRequest) -> BoxFuture<'a, Result<Option<&'static str>>>),
    /// A socket that has closed.
    Close(for<'a> fn(&'a Confab, &'a str) -> BoxFuture<'a, Result<()>>),
    /// A frame from an open socket, answered by another, or by none.
    Act(for<'a> fn(&'a Confab, &'a ClientFrame) -> BoxFuture<'a, Result<Option<String>>>),
    /// A batch from a queue, of which some messages may have to be tried again.
    Queue(for<'a> fn(&'a Confab, Batch) -> BoxFuture<'a, Vec<String>>),
    /// Changes from a table's stream, of which the first that failed is tried again with all behind it.
    Stream(for<'a> fn(&'a Confab, &'a [StreamRecord]) -> BoxFuture<'a, Option<String>>),
}

/// Runs a function until Lambda ends its sandbox.
///
/// # Errors
/// When the environment lacks something or the Runtime API fails.
pub fn run(function: Function) -> Result<(), Error> {
    let environment = Environment::of_process();
    log(&environment);
    let confab = Confab::new(&environment)?;
    let namespace = environment.get("METRICS_NAMESPACE");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(lambda_runtime::run(service_fn(async |event| {
        let (answer, metrics) = function.invoke_kept(&confab, event).await;
        // CloudWatch makes metrics of any such line in a function's log.
        if let Some(metrics) = namespace.and_then(|namespace| metrics.metrics(namespace)) {
            println!("{metrics}");
        }
        answer
    })))
}

/// A function ready to run in this process, as its binary would in Lambda.
pub type Handler = Arc<dyn Fn(LambdaEvent<Box<RawValue>>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// Makes the function of that name ready, in this environment.
///
/// # Errors
/// When there is no such function, or its environment lacks something.
pub fn handler(name: &str, variables: &BTreeMap<String, String>) -> Result<Handler, String> {
    let function = Function::named(name).ok_or_else(|| format!("There is no function {name}"))?;
    let confab = Confab::new(&variables.clone().into_iter().collect::<Environment>());
    let confab = Arc::new(confab.map_err(|error| {
        // This is told to whoever runs the laptop cloud, not to a caller, so it says why.
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        format!("The function {name} does not start: {cause}")
    })?);
    Ok(Arc::new(move |event| {
        let confab = confab.clone();
        Box::pin(async move { function.invoke(&confab, event).await })
    }))
}

impl Function {
    /// The function of that name.
    pub fn named(name: &str) -> Option<Self> {
        crate::FUNCTIONS.iter().find(|(known, _)| *known == name).map(|(_, function)| *function)
    }

    /// Handles one event.
    ///
    /// # Errors
    /// When the event is not of the function's kind. Whatever else goes wrong becomes an answer.
    pub async fn invoke(self, confab: &Confab, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error> {
        self.invoke_kept(confab, event).await.0
    }

    /// The same, with the metrics of what was done, which is logged.
    async fn invoke_kept(self, confab: &Confab, event: LambdaEvent<Box<RawValue>>) -> (Result<Value, Error>, Metrics) {
        let started = Instant::now();
        let about = About::read(event.payload.get());
        let request_id = event.context.request_id.clone();
        let function = event.context.env_config.function_name.clone();
        let (answer, metrics) = metrics::scope(self.answer(confab, event)).await;
        tracing::info!(
            function,
            request_id,
            route = about.request_context.route_key,
            gateway_request_id = about.request_context.request_id,
            connection_id = about.request_context.connection_id,
            status = answer.as_ref().ok().and_then(|answer| answer["statusCode"].as_u64()),
            user_id = metrics.user_id.map(|id| id.0),
            uri = metrics.uri.as_ref().map(ToString::to_string),
            dynamodb_calls = metrics.dynamodb_calls,
            milliseconds = started.elapsed().as_millis() as u64,
            "handled"
        );
        (answer, metrics)
    }

    async fn answer(self, confab: &Confab, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error> {
        let text = event.payload.get();
        let deadline = deadline(&event.context);
        match self {
            Self::Http(handle) => {
                let handled = async { handle(confab, &http_event::request(text)?).await };
                let answer = in_time(deadline, handled).await.unwrap_or_else(Answer::from);
                Ok(http_event::response(answer, &request_id(text, &event.context)))
            }
            Self::Open(handle) => {
                let handled = async {
                    let event: ApiGatewayWebsocketProxyRequest = socket_event(text)?;
                    let opening = ConnectRequest {
                        uri: uri(&event)?,
                        connection_id: event.request_context.connection_id.unwrap_or_default(),
                        headers: event.headers,
                    };
                    handle(confab, &opening).await
                };
                Ok(match in_time(deadline, handled).await {
                    Ok(None) => json!({ "statusCode": 200 }),
                    Ok(Some(protocol)) => {
                        json!({ "statusCode": 200, "headers": { "Sec-WebSocket-Protocol": protocol } })
                    }
                    Err(error) => {
                        let answer = Answer::from(error);
                        json!({ "statusCode": answer.status.as_u16(), "body": answer.body })
                    }
                })
            }
            Self::Close(handle) => {
                let handled = async {
                    let event: ApiGatewayWebsocketProxyRequest = socket_event(text)?;
                    handle(confab, &event.request_context.connection_id.unwrap_or_default()).await
                };
                let status = match in_time(deadline, handled).await {
                    Ok(()) => 200,
                    Err(error) => Answer::from(error).status.as_u16(),
                };
                Ok(json!({ "statusCode": status }))
            }
            Self::Act(handle) => {
                let frame = socket_event(text).map(|event: ApiGatewayWebsocketProxyRequest| ClientFrame {
                    connection_id: event.request_context.connection_id.unwrap_or_default(),
                    text: event.body.unwrap_or_default(),
                });
                let frame = match frame {
                    Ok(frame) => {
                        let answer = in_time(deadline, handle(confab, &frame)).await;
                        answer.unwrap_or_else(|error| Some(error_frame(&error, &frame)))
                    }
                    Err(error) => Some(error_frame(&error, &ClientFrame::default())),
                };
                Ok(match frame {
                    Some(frame) => json!({ "statusCode": 200, "body": frame }),
                    None => json!({ "statusCode": 200 }),
                })
            }
            Self::Queue(handle) => {
                let batch: SqsEvent = serde_json::from_str(text)?;
                let records = batch.records.into_iter().map(|message| {
                    let attribute = |name| message.attributes.get(name).cloned();
                    Record {
                        group: attribute("MessageGroupId").unwrap_or_default(),
                        tries: attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1),
                        message_id: message.message_id.unwrap_or_default(),
                        body: message.body.unwrap_or_default(),
                    }
                });
                let mut response = SqsBatchResponse::default();
                let batch = Batch { records: records.collect(), deadline };
                for message_id in handle(confab, batch).await {
                    let mut failure = BatchItemFailure::default();
                    failure.item_identifier = message_id;
                    response.batch_item_failures.push(failure);
                }
                Ok(serde_json::to_value(response)?)
            }
            Self::Stream(handle) => {
                let event: StreamEvent = serde_json::from_str(text)?;
                let changes = event.records.into_iter().map(change).collect::<Result<Vec<_>>>()?;
                let failed = match tokio::time::timeout_at(deadline.into(), handle(confab, &changes)).await {
                    Ok(failed) => failed,
                    Err(_) => changes.first().map(|change| change.sequence_number.clone()),
                };
                let failures: Vec<Value> =
                    failed.into_iter().map(|number| json!({ "itemIdentifier": number })).collect();
                Ok(json!({ "batchItemFailures": failures }))
            }
        }
    }
}

/// A record of a table's stream.
fn change(record: EventRecord) -> Result<StreamRecord> {
    Ok(StreamRecord {
        sequence_number: record.change.sequence_number.unwrap_or_default(),
        key: serde_dynamo::from_item::<_, Key>(record.change.keys)?,
        item: (record.event_name != "REMOVE").then_some(record.change.new_image),
        old: (record.event_name != "INSERT").then_some(record.change.old_image),
    })
}

/// Logs as JSON, the format that the template sets, from the level up that Lambda's own variable names
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
fn log(environment: &Environment) {
    let level = environment.get("AWS_LAMBDA_LOG_LEVEL").or_else(|| environment.get("RUST_LOG"));
    let level = level.and_then(|level| level.to_lowercase().parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt().json().with_max_level(level).with_current_span(false).with_span_list(false).init();
}

/// What an event tells about itself, as far as its log line shows it. Batches from queues tell nothing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct About {
    request_context: AboutRequest,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AboutRequest {
    route_key: Option<String>,
    request_id: Option<String>,
    connection_id: Option<String>,
}

impl About {
    fn read(event: &str) -> Self {
        serde_json::from_str(event).unwrap_or_default()
    }
}

/// When to stop working, so that there is time left to say what was not done.
fn deadline(context: &Context) -> Instant {
    const TO_ANSWER: Duration = Duration::from_secs(1);
    // `cargo lambda watch` gives a deadline long past; that is none.
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(15));
    Instant::now() + left.saturating_sub(TO_ANSWER)
}

/// Whatever a request waits for, its caller is answered before Lambda cuts the function off and API Gateway gives up.
async fn in_time<T>(deadline: Instant, answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || confab_shared::Error::Busy(Some("the time is up".into()));
    tokio::time::timeout_at(deadline.into(), answer).await.unwrap_or_else(|_| Err(late()))
}

/// Reads an event of the WebSocket API.
fn socket_event<T: DeserializeOwned>(event: &str) -> Result<T> {
    serde_json::from_str(event).map_err(|_| http_event::malformed())
}

/// The chat that a socket names when it opens. API Gateway shows the last of several values as the one value
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html>).
fn uri(event: &ApiGatewayWebsocketProxyRequest) -> Result<Option<String>> {
    match event.multi_value_query_string_parameters.all("uri").as_deref() {
        Some([_, _, ..]) => Err(Invalid::field("uri", "This parameter may be given only once.").into()),
        _ => Ok(event.query_string_parameters.first("uri").map(str::to_owned)),
    }
}

/// The gateway's id of a request, or else Lambda's.
fn request_id(event: &str, context: &Context) -> String {
    About::read(event).request_context.request_id.unwrap_or_else(|| context.request_id.clone())
}
