//! Invokes functions in this process, or through a Lambda endpoint such as `cargo lambda watch`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_types::sdk_config::SharedHttpClient;
use futures_util::future::BoxFuture;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, value::RawValue};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    access::Keys,
    description::{ACCOUNT, Function, REGION},
    usage::Meter,
};

// 6 MB each (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). The exact number for responses
// is in Lambda's error message.
pub(crate) const REQUEST_BYTES: usize = 6 * 1024 * 1024;
const RESPONSE_BYTES: usize = 6 * 1024 * 1024 + 100;

/// A function that runs in this process, called with an event as Lambda would call it.
pub type Handler =
    Arc<dyn Fn(LambdaEvent<Box<RawValue>>) -> BoxFuture<'static, Result<Value, lambda_runtime::Error>> + Send + Sync>;

/// Makes a handler from a function's name, its environment, and an HTTP client for its AWS clients. That client reaches
/// the laptop cloud without a network. The error is one sentence without its full stop.
pub type Starter =
    Arc<dyn Fn(&str, &BTreeMap<String, String>, &SharedHttpClient) -> Result<Handler, String> + Send + Sync>;

/// Where functions run.
#[derive(Clone)]
pub enum Functions {
    /// In this process.
    InProcess(Starter),
    /// Behind an endpoint that speaks Lambda's Invoke API.
    Endpoint(String),
}

/// Why an invocation gave no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    #[error("task timed out after {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error(
        "Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
    )]
    TooLarge,
    #[error("Rate exceeded: too many functions are running")]
    Throttled,
    #[error("{0}")]
    Failed(String),
}

/// The functions of a template.
pub(crate) struct Lambda {
    pub(crate) meter: Meter,
    functions: BTreeMap<String, Running>,
    /// The executions that may still begin, where they are limited.
    concurrency: Option<Arc<Semaphore>>,
}

struct Running {
    name: String,
    timeout: Duration,
    /// Gigabytes.
    memory: f64,
    place: Place,
}

enum Place {
    InProcess(Handler),
    Endpoint { client: reqwest::Client, url: String },
}

/// What functions get in addition to what the template gives them.
pub(crate) struct StartContext<'a> {
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// For functions in this process.
    pub(crate) http_client: &'a SharedHttpClient,
    pub(crate) keys: &'a Keys,
}

impl Lambda {
    /// Starts every function.
    pub(crate) fn start(
        functions: &BTreeMap<String, Function>,
        place: &Functions,
        context: &StartContext<'_>,
        concurrency: Option<u32>,
        meter: &Meter,
    ) -> Result<Self, String> {
        let started = functions.iter().map(|(logical_id, function)| {
            let Function { name, timeout, memory, environment: own, .. } = function.clone();
            let place = match place {
                Functions::InProcess(start) => {
                    let mut variables = own;
                    variables.extend(context.environment.clone());
                    variables.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name.clone());
                    // On AWS each function has a role. Here a separate key tells a service which function calls it.
                    variables.insert("AWS_ACCESS_KEY_ID".to_owned(), name.clone());
                    variables.insert("AWS_SECRET_ACCESS_KEY".to_owned(), context.keys.secret(&name));
                    Place::InProcess(start(&name, &variables, context.http_client)?)
                }
                Functions::Endpoint(endpoint) => Place::Endpoint {
                    // The endpoint is on this machine, so no proxy is used.
                    client: reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?,
                    // https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
                    url: format!("{}/2015-03-31/functions/{name}/invocations", endpoint.trim_end_matches('/')),
                },
            };
            Ok((logical_id.clone(), Running { name, timeout, memory, place }))
        });
        let concurrency = concurrency.map(|most| Arc::new(Semaphore::new(most as usize)));
        Ok(Self { meter: meter.clone(), functions: started.collect::<Result<_, String>>()?, concurrency })
    }

    /// The name of a function for log lines.
    pub(crate) fn name<'a>(&'a self, logical_id: &'a str) -> &'a str {
        self.functions.get(logical_id).map_or(logical_id, |running| &running.name)
    }

    /// Invokes a function and waits for its response.
    pub(crate) async fn invoke(&self, logical_id: &str, event: &Value) -> Result<Value, InvokeError> {
        let function = self.functions.get(logical_id).ok_or_else(|| failed("there is no such function"))?;
        // An execution is not queued (https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
        let execution = self.concurrency.clone().map(Semaphore::try_acquire_owned).transpose();
        let execution = execution.map_err(|_| InvokeError::Throttled)?;
        self.meter.add(&function.name, "lambda:Invoke", function.memory);
        match &function.place {
            Place::InProcess(handler) => call(handler, &function.name, function.timeout, event, execution).await,
            Place::Endpoint { client, url } => post(client, url, function.timeout, event).await,
        }
    }
}

/// Calls a function in this process. As on Lambda it runs to its end even if its caller goes away, hence the separate
/// task, and is ended at its time-out.
async fn call(
    handler: &Handler,
    name: &str,
    timeout: Duration,
    event: &Value,
    execution: Option<OwnedSemaphorePermit>,
) -> Result<Value, InvokeError> {
    let payload = serde_json::value::to_raw_value(event).map_err(failed)?;
    let event = LambdaEvent::new(payload, context(name, timeout));
    let invocation = tokio::time::timeout(timeout, handler(event));
    let ended = tokio::spawn(async move {
        let ended = invocation.await;
        drop(execution);
        ended
    });
    match ended.await {
        Ok(Err(_)) => Err(InvokeError::TimedOut(timeout)),
        Ok(Ok(Ok(response))) if is_too_large(&response) => Err(InvokeError::TooLarge),
        Ok(Ok(response)) => response.map_err(failed),
        Err(error) if error.is_panic() => Err(failed("it panicked")),
        Err(_) => Err(failed("the laptop cloud has stopped")),
    }
}

/// Whether a response is larger than Lambda allows. Only a response that may be is written as JSON for that.
fn is_too_large(response: &Value) -> bool {
    most_bytes(response) > RESPONSE_BYTES && response.to_string().len() > RESPONSE_BYTES
}

/// The most bytes that a value can have as JSON. A byte of a text is escaped to at most six.
fn most_bytes(value: &Value) -> usize {
    const OTHER: usize = 32;
    let text = |text: &str| 6 * text.len() + 4;
    match value {
        Value::String(string) => text(string),
        Value::Array(values) => OTHER + values.iter().map(|value| most_bytes(value) + 1).sum::<usize>(),
        Value::Object(members) => {
            OTHER + members.iter().map(|(name, value)| text(name) + most_bytes(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => OTHER,
    }
}

/// Calls a function through Lambda's Invoke API.
async fn post(client: &reqwest::Client, url: &str, timeout: Duration, event: &Value) -> Result<Value, InvokeError> {
    // `cargo lambda watch` compiles a function when it is first called, which may take minutes.
    let sent = client.post(url).json(event).timeout(timeout + Duration::from_secs(900)).send().await;
    let response = sent.map_err(failed)?;
    let is_error = response.headers().contains_key("x-amz-function-error") || !response.status().is_success();
    let status = response.status();
    let text = response.text().await.map_err(failed)?;
    if text.len() > RESPONSE_BYTES {
        Err(InvokeError::TooLarge)
    } else if is_error {
        Err(failed(format!("{status}: {text}")))
    } else {
        serde_json::from_str(&text).map_err(failed)
    }
}

fn failed(error: impl ToString) -> InvokeError {
    InvokeError::Failed(error.to_string())
}

fn context(name: &str, timeout: Duration) -> Context {
    let deadline = SystemTime::now() + timeout;
    let mut context = Context::default();
    context.request_id = uuid::Uuid::new_v4().to_string();
    context.deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    context.invoked_function_arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
    context
}
