//! A proxy between the functions and an AWS service: it counts calls, and can inject faults.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, Response, StatusCode},
};
use confab_cloud::Options;
use tokio::{net::TcpListener, sync::Notify};

use crate::world::{DEADLINE, World, options};

/// A call of AWS.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function that made it.
    pub caller: String,
    /// `GetItem`, `Publish`, … or the method, where a service has no operations.
    pub operation: String,
    pub path: String,
    pub body: String,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The service responds with an internal error; the call has no effect.
    Refuse,
    /// The service throttles; the call has no effect.
    Throttle,
    /// SQS does not take the message; the call has no effect.
    Reject,
    /// The call is delayed.
    Slow(Duration),
    /// The call has no effect, and there is no response before the caller's time-out.
    Hang,
    /// The connection is reset; the call has no effect.
    Reset,
    /// The call takes effect, and the connection is reset before the response.
    LoseAnswer,
    /// The call waits until the proxy's gate is opened.
    Held,
}

/// A gate that a call waits at.
#[derive(Clone, Default)]
pub struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    reached: Notify,
    opened: Notify,
}

impl Gate {
    /// Waits until a call is at the gate.
    pub async fn reached(&self) {
        tokio::time::timeout(DEADLINE, self.0.reached.notified()).await.expect("no such call came");
    }

    /// Lets the call continue.
    pub fn open(&self) {
        self.0.opened.notify_one();
    }
}

type Rule = Box<dyn Fn(&Call) -> Fault + Send>;

/// The proxy of one service.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    url: String,
    target: OnceLock<String>,
    client: reqwest::Client,
    calls: Mutex<Vec<Call>>,
    rule: Mutex<Rule>,
    gate: Mutex<Option<Gate>>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            target: OnceLock::new(),
            client: reqwest::Client::new(),
            calls: Mutex::default(),
            rule: Mutex::new(Box::new(|_| Fault::None)),
            gate: Mutex::default(),
        };
        let proxy = Self(Arc::new(inner));
        let app = Router::new().fallback(pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        proxy
    }

    /// A laptop cloud whose functions reach DynamoDB and SNS through proxies.
    pub async fn world() -> (World, Self, Self) {
        let (dynamodb, sns) = (Self::start().await, Self::start().await);
        let mut options = options();
        options.environment.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), dynamodb.0.url.clone());
        options.environment.insert("AWS_ENDPOINT_URL_SNS".to_owned(), sns.0.url.clone());
        options.hosts = vec![dynamodb.host(), sns.host()];
        let world = World::own(options).await;
        dynamodb.leads_to(world.variable("AWS_ENDPOINT_URL_DYNAMODB"));
        sns.leads_to(world.variable("AWS_ENDPOINT_URL_SNS"));
        (world, dynamodb, sns)
    }

    /// A laptop cloud with these options, whose functions reach DynamoDB, SNS, SQS and `@connections` through these proxies.
    pub async fn before_all([dynamodb, sns, sqs, sockets]: &[Self; 4], mut options: Options) -> World {
        let environment = [
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url().to_owned()),
            ("AWS_ENDPOINT_URL_SNS", sns.url().to_owned()),
            ("AWS_ENDPOINT_URL_SQS", sqs.url().to_owned()),
            ("WEBSOCKET_ENDPOINT", format!("{}/ws", sockets.url())),
        ];
        options.environment.extend(environment.map(|(name, value)| (name.to_owned(), value)));
        options.hosts.extend([dynamodb, sns, sqs, sockets].map(Self::host));
        let world = World::own(options).await;
        dynamodb.leads_to(world.variable("AWS_ENDPOINT_URL_DYNAMODB"));
        sns.leads_to(world.variable("AWS_ENDPOINT_URL_SNS"));
        sqs.leads_to(world.variable("AWS_ENDPOINT_URL_SQS"));
        sockets.leads_to(&world.http_url);
        world
    }

    /// From now on, holds back the first such call until the gate is opened.
    pub fn hold(&self, rule: impl Fn(&Call) -> bool + Send + 'static) -> Gate {
        let gate = Gate::default();
        let held = gate.0.clone();
        let first = AtomicBool::new(true);
        *self.0.gate.lock().unwrap() = Some(gate.clone());
        self.inject(move |call| {
            let is_held = rule(call) && first.swap(false, Ordering::Relaxed);
            if is_held {
                held.reached.notify_one();
            }
            if is_held { Fault::Held } else { Fault::None }
        });
        gate
    }

    /// Sets the address that calls are forwarded to.
    pub fn leads_to(&self, url: &str) {
        self.0.target.set(url.to_owned()).unwrap();
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The host that requests through it are signed for, which the service must allow.
    pub fn host(&self) -> String {
        self.0.url.replace("http://", "")
    }

    /// From now on, responds to matching calls with an internal error of the service.
    pub fn refuse(&self, rule: impl Fn(&Call) -> bool + Send + 'static) {
        self.inject(move |call| if rule(call) { Fault::Refuse } else { Fault::None });
    }

    /// From now on, injects this fault into each call.
    pub fn inject(&self, rule: impl Fn(&Call) -> Fault + Send + 'static) {
        *self.0.rule.lock().unwrap() = Box::new(rule);
    }

    /// The number of calls of an operation since the last `calls()`.
    pub fn count(&self, operation: &str) -> usize {
        self.0.calls.lock().unwrap().iter().filter(|call| call.operation == operation).count()
    }

    /// The same for the calls of one function.
    pub fn count_of(&self, caller: &str, operation: &str) -> usize {
        let calls = self.0.calls.lock().unwrap();
        calls.iter().filter(|call| call.caller == caller && call.operation == operation).count()
    }

    /// The calls since the last `calls()`.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.calls.lock().unwrap())
    }
}

async fn pass(State(proxy): State<Proxy>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    let target = parts.headers.get("x-amz-target").map(|value| value.to_str().unwrap());
    let operation = match target {
        Some(target) => target.rsplit('.').next().unwrap().to_owned(),
        None => {
            let action = text.split('&').find_map(|pair| pair.strip_prefix("Action="));
            action.unwrap_or(parts.method.as_str()).to_owned()
        }
    };
    let authorization = parts.headers.get("authorization").map(|value| value.to_str().unwrap()).unwrap_or_default();
    let caller = authorization.split("Credential=").nth(1).and_then(|rest| rest.split('/').next());
    let call = Call {
        caller: caller.unwrap_or_default().to_owned(),
        operation,
        path: parts.uri.path().to_owned(),
        body: text,
    };
    let fault = proxy.0.rule.lock().unwrap()(&call);
    proxy.0.calls.lock().unwrap().push(call);
    match fault {
        Fault::Refuse => return failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
        // Each service has a different name for it, and all SDKs know all of them.
        Fault::Throttle => return failure(StatusCode::TOO_MANY_REQUESTS, "LimitExceededException"),
        Fault::Reject => return failure(StatusCode::BAD_REQUEST, "InvalidMessageContents"),
        Fault::Reset => return broken(),
        Fault::Hang => {
            tokio::time::sleep(Duration::from_secs(4)).await;
            return broken();
        }
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::Held => {
            let gate = proxy.0.gate.lock().unwrap().clone().unwrap();
            gate.0.opened.notified().await;
        }
        Fault::None | Fault::LoseAnswer => {}
    }
    let url = format!("{}{}", proxy.0.target.get().unwrap(), parts.uri);
    // In a separate task: the call completes whether the caller waits for it or not.
    let request = proxy.0.client.request(parts.method, url).headers(parts.headers).body(body);
    let Ok(Ok(answer)) = tokio::spawn(request.send()).await else { return broken() };
    if fault == Fault::LoseAnswer {
        return broken();
    }
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.headers_mut().unwrap().remove("transfer-encoding");
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}

fn failure(status: StatusCode, kind: &str) -> Response<Body> {
    let text = format!(r#"{{"__type":"{kind}","message":"the test wants it so"}}"#);
    Response::builder().status(status).header("x-amzn-errortype", kind).body(Body::from(text)).unwrap()
}

/// A response that is cut off before it begins.
fn broken() -> Response<Body> {
    let nothing = futures_util::stream::once(std::future::ready(Err::<Vec<u8>, BoxError>("broken".into())));
    Response::builder().header("content-length", "100000").body(Body::from_stream(nothing)).unwrap()
}
