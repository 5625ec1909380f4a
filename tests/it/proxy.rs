//! A proxy between the functions and an AWS service: it counts what passes, and can refuse it.

use std::sync::{Arc, Mutex, OnceLock};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, Response, StatusCode},
};
use tokio::net::TcpListener;

use crate::world::{World, options};

/// A call of AWS.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function that made it.
    pub caller: String,
    /// `GetItem`, `Publish`, … or the method, where a service has no operations.
    pub operation: String,
    pub body: String,
}

type Rule = Box<dyn Fn(&Call) -> bool + Send>;

/// The proxy of one service.
#[derive(Clone)]
pub struct Proxy(Arc<Inner>);

struct Inner {
    url: String,
    target: OnceLock<String>,
    client: reqwest::Client,
    calls: Mutex<Vec<Call>>,
    refuses: Mutex<Rule>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            target: OnceLock::new(),
            client: reqwest::Client::new(),
            calls: Mutex::default(),
            refuses: Mutex::new(Box::new(|_| false)),
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
        let world = World::own(options).await;
        dynamodb.leads_to(world.variable("AWS_ENDPOINT_URL_DYNAMODB"));
        sns.leads_to(world.variable("AWS_ENDPOINT_URL_SNS"));
        (world, dynamodb, sns)
    }

    /// Where to pass calls on to.
    pub fn leads_to(&self, url: &str) {
        self.0.target.set(url.to_owned()).unwrap();
    }

    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// From now on, answers such calls with an internal error of the service.
    pub fn refuse(&self, rule: impl Fn(&Call) -> bool + Send + 'static) {
        *self.0.refuses.lock().unwrap() = Box::new(rule);
    }

    /// How many calls of an operation there have been since the calls were last asked for.
    pub fn count(&self, operation: &str) -> usize {
        self.0.calls.lock().unwrap().iter().filter(|call| call.operation == operation).count()
    }

    /// The calls since the last time that this was asked.
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
    let call = Call { caller: caller.unwrap_or_default().to_owned(), operation, body: text };
    let refused = proxy.0.refuses.lock().unwrap()(&call);
    proxy.0.calls.lock().unwrap().push(call);
    if refused {
        let mut response =
            Response::new(Body::from(r#"{"__type":"InternalServerError","message":"refused by the test"}"#));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    }
    let url = format!("{}{}", proxy.0.target.get().unwrap(), parts.uri);
    let mut headers = parts.headers;
    headers.remove("host");
    let answer = proxy.0.client.request(parts.method, url).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    *response.headers_mut().unwrap() = answer.headers().clone();
    response.headers_mut().unwrap().remove("transfer-encoding");
    response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
}
