//! Invoking functions: in this process, or through a Lambda endpoint such as `cargo lambda watch`.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::BoxFuture;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Value, value::RawValue};

use crate::{
    description::{ACCOUNT, Function, REGION},
    keys::Keys,
};

// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB each. The error that Lambda gives has the exact
// number for responses.
pub(crate) const REQUEST_BYTES: usize = 6 * 1024 * 1024;
const RESPONSE_BYTES: usize = 6 * 1024 * 1024 + 100;

/// A function that runs in this process, called with an event as Lambda would call it.
pub type Handler =
    Arc<dyn Fn(LambdaEvent<Box<RawValue>>) -> BoxFuture<'static, Result<Value, lambda_runtime::Error>> + Send + Sync>;

/// Makes a handler of a function's name and environment, or says why it cannot.
pub type Starter = Arc<dyn Fn(&str, &BTreeMap<String, String>) -> Result<Handler, String> + Send + Sync>;

/// Where functions run.
#[derive(Clone)]
pub enum Functions {
    /// In this process.
    InProcess(Starter),
    /// Behind an endpoint that speaks Lambda's Invoke API.
    Endpoint(String),
}

/// Why an invocation gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    #[error("task timed out after {} seconds", .0.as_secs())]
    TimedOut(Duration),
    #[error(
        "Function.ResponseSizeTooLarge: Response payload size exceeded maximum allowed payload size ({RESPONSE_BYTES} bytes)."
    )]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

/// The functions of a template.
pub(crate) struct Lambda {
    functions: BTreeMap<String, Running>,
}

struct Running {
    name: String,
    timeout: Duration,
    place: Place,
}

enum Place {
    Here(Handler),
    There { client: reqwest::Client, url: String },
}

impl Lambda {
    /// Starts every function, in the environment that the template gives it, with `more` in addition.
    pub(crate) fn start(
        functions: &BTreeMap<String, Function>,
        place: &Functions,
        more: &BTreeMap<String, String>,
        keys: &Keys,
    ) -> Result<Self, String> {
        let mut running = BTreeMap::new();
        for (logical_id, function) in functions {
            let Function { name, timeout, environment } = function.clone();
            let place = match place {
                Functions::InProcess(find) => {
                    let mut environment = environment;
                    environment.extend(more.clone());
                    environment.insert("AWS_LAMBDA_FUNCTION_NAME".to_owned(), name.clone());
                    // On AWS each function has a role; here a key of its own tells whoever listens at a service who calls.
                    environment.insert("AWS_ACCESS_KEY_ID".to_owned(), name.clone());
                    environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), keys.secret(&name));
                    Place::Here(find(&name, &environment)?)
                }
                Functions::Endpoint(endpoint) => Place::There {
                    // It is on this machine, where no proxy leads.
                    client: reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?,
                    // https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
                    url: format!("{}/2015-03-31/functions/{name}/invocations", endpoint.trim_end_matches('/')),
                },
            };
            running.insert(logical_id.clone(), Running { name, timeout, place });
        }
        Ok(Self { functions: running })
    }

    /// What a function is called in log lines.
    pub(crate) fn name<'a>(&'a self, logical_id: &'a str) -> &'a str {
        self.functions.get(logical_id).map_or(logical_id, |running| &running.name)
    }

    /// Invokes a function and waits for its answer.
    pub(crate) async fn invoke(&self, logical_id: &str, event: &Value) -> Result<Value, InvokeError> {
        let failed = |error: &dyn std::fmt::Display| InvokeError::Failed(error.to_string());
        let running = self.functions.get(logical_id).ok_or_else(|| failed(&"there is no such function"))?;
        let timeout = running.timeout;
        match &running.place {
            Place::Here(handler) => {
                let payload = serde_json::value::to_raw_value(event).map_err(|error| failed(&error))?;
                let event = LambdaEvent::new(payload, context(&running.name, timeout));
                // By itself, since Lambda runs a function to its end whether its caller waits or not. At the time-out it is cut
                // off, as it is when its sandbox ends.
                let answer = tokio::spawn(tokio::time::timeout(timeout, handler(event)));
                match answer.await {
                    Ok(Err(_)) => Err(InvokeError::TimedOut(timeout)),
                    Ok(Ok(Ok(answer))) if answer.to_string().len() > RESPONSE_BYTES => Err(InvokeError::TooLarge),
                    Ok(Ok(answer)) => answer.map_err(|error| failed(&error)),
                    Err(error) if error.is_panic() => Err(failed(&"it panicked")),
                    Err(_) => Err(failed(&"the laptop cloud has stopped")),
                }
            }
            Place::There { client, url } => {
                // `cargo lambda watch` compiles a function when it is first called, which takes as long as it takes.
                let sent = client.post(url).json(event).timeout(timeout + Duration::from_secs(900)).send().await;
                let answer = sent.map_err(|error| failed(&error))?;
                let is_error = answer.headers().contains_key("x-amz-function-error") || !answer.status().is_success();
                let status = answer.status();
                let text = answer.text().await.map_err(|error| failed(&error))?;
                if text.len() > RESPONSE_BYTES {
                    Err(InvokeError::TooLarge)
                } else if is_error {
                    Err(failed(&format!("{status}: {text}")))
                } else {
                    serde_json::from_str(&text).map_err(|error| failed(&error))
                }
            }
        }
    }
}

fn context(name: &str, timeout: Duration) -> Context {
    let deadline = SystemTime::now() + timeout;
    let mut context = Context::default();
    context.request_id = uuid::Uuid::new_v4().to_string();
    context.deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    context.invoked_function_arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}");
    context
}
