//! Runs functions: reads Lambda's events, calls the handlers, and writes their answers. Each kind of event has a
//! module.
//!
//! The laptop cloud calls [`Function::invoke`] with the events that Lambda would send.

mod answer;
mod deadline;
mod gateway;
mod http;
mod queue;
mod stream;
mod websocket;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use aws_types::sdk_config::SharedHttpClient;
use confab_shared::{
    Confab, Result,
    environment::Environment,
    metrics::{self, Metrics},
};
use lambda_runtime::{BoxFuture, LambdaEvent, service_fn};
use serde_json::{Value, value::RawValue};
use tracing_subscriber::filter::LevelFilter;

use answer::Answer;
use deadline::deadline;
use gateway::RequestContext;

/// Why an invocation failed.
pub type Error = lambda_runtime::Error;

/// A function: what it is invoked with, and the handler that it calls.
#[derive(Clone, Copy, Debug)]
pub enum Function {
    /// A request to the HTTP API. The handler authenticates the caller.
    Http(http::Handler),
    /// A request to the HTTP API that needs no token. A token that comes with it must be valid all the same.
    PublicHttp(http::Handler),
    /// An event of the WebSocket API.
    WebSocket(websocket::Handler),
    /// A batch from a queue. The handler returns the messages that must be retried.
    Queue(queue::Handler),
    /// Changes from the table's stream. The handler returns the first that must be retried, with all behind it.
    Stream(stream::Handler),
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
        let (response, metrics) = function.invoke_with_metrics(&confab, event).await;
        // CloudWatch makes metrics of any such line in a function's log.
        if let Some(metrics) = namespace.and_then(|namespace| metrics.metrics(namespace)) {
            println!("{metrics}");
        }
        response
    })))
}

/// A function that runs in this process, called with an event as Lambda would call it.
pub type Handler = Arc<dyn Fn(LambdaEvent<Box<RawValue>>) -> BoxFuture<'static, Result<Value, Error>> + Send + Sync>;

/// Makes the function of that name ready, in this environment.
///
/// # Errors
/// When there is no such function, or its environment lacks something.
pub fn handler(name: &str, variables: &BTreeMap<String, String>) -> Result<Handler, String> {
    start(name, &variables.clone().into_iter().collect())
}

/// The same with an HTTP client for AWS.
///
/// # Errors
/// As [`handler`].
pub fn handler_with_http_client(
    name: &str,
    variables: &BTreeMap<String, String>,
    client: &SharedHttpClient,
) -> Result<Handler, String> {
    start(name, &variables.clone().into_iter().collect::<Environment>().with_http_client(client.clone()))
}

fn start(name: &str, environment: &Environment) -> Result<Handler, String> {
    let function = Function::named(name).ok_or_else(|| format!("There is no function {name}"))?;
    let confab = Confab::new(environment);
    let confab = Arc::new(confab.map_err(|error| {
        // The developer who runs the laptop cloud reads this, not a caller, so it has the cause.
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
    /// When the event is not of the function's kind. Other errors become responses.
    pub async fn invoke(self, confab: &Confab, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Error> {
        Ok(serde_json::to_value(self.invoke_with_metrics(confab, event).await.0?)?)
    }

    async fn invoke_with_metrics(
        self,
        confab: &Confab,
        event: LambdaEvent<Box<RawValue>>,
    ) -> (Result<Answer, Error>, Metrics) {
        let started = Instant::now();
        let request = match self {
            Self::Http(_) | Self::PublicHttp(_) | Self::WebSocket(_) => RequestContext::read(event.payload.get()),
            Self::Queue(_) | Self::Stream(_) => RequestContext::default(),
        };
        let request_id = event.context.request_id.clone();
        let function = event.context.env_config.function_name.clone();
        let (response, metrics) = metrics::scope(self.respond(confab, &event, &request)).await;
        tracing::info!(
            function,
            request_id,
            route = request.route_key,
            action = metrics.action,
            gateway_request_id = request.request_id,
            connection_id = request.connection_id,
            status = response.as_ref().ok().and_then(Answer::status),
            user_id = metrics.user_id.map(|id| id.0),
            uri = metrics.uri.as_ref().map(ToString::to_string),
            dynamodb_calls = metrics.dynamodb_calls,
            milliseconds = started.elapsed().as_millis() as u64,
            "handled"
        );
        (response, metrics)
    }

    async fn respond(
        self,
        confab: &Confab,
        event: &LambdaEvent<Box<RawValue>>,
        request: &RequestContext,
    ) -> Result<Answer, Error> {
        let (text, deadline) = (event.payload.get(), deadline(&event.context));
        // The gateway's id of the request, or else Lambda's.
        let id = request.request_id.as_deref().unwrap_or(&event.context.request_id);
        Ok(match self {
            Self::Http(handle) => Answer::Gateway(http::respond(handle, false, confab, text, deadline, id).await),
            Self::PublicHttp(handle) => Answer::Gateway(http::respond(handle, true, confab, text, deadline, id).await),
            Self::WebSocket(handle) => Answer::Gateway(websocket::respond(handle, confab, text, deadline).await),
            Self::Queue(handle) => Answer::Batch(queue::respond(handle, confab, text, deadline).await?),
            Self::Stream(handle) => Answer::Batch(stream::respond(handle, confab, text, deadline).await?),
        })
    }
}

/// Logs as JSON, the format that the template sets, from the level up that Lambda's own variable names
/// (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html>).
fn log(environment: &Environment) {
    let level = environment.get("AWS_LAMBDA_LOG_LEVEL").or_else(|| environment.get("RUST_LOG"));
    let level = level.and_then(|level| level.to_lowercase().parse().ok()).unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt().json().with_max_level(level).with_current_span(false).with_span_list(false).init();
}
