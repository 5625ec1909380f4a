//! Access to DynamoDB, SNS, SQS, SES and `@connections` of the laptop cloud, and the host names that it accepts. Needs
//! separate laptop clouds.

use std::time::{Duration, SystemTime};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use reqwest::{Client, Method, Request, Response};
use serde_json::{Value, json};

use tokio::process::Command;

use crate::{
    process::{Process, free_ports},
    signature::Signer,
    world::{World, eventually, options},
};

const MAIL: &str = r#"{"FromEmailAddress":"a@example.com","Destination":{"ToAddresses":["b@example.com"]},"Content":{"Simple":{"Subject":{"Data":"x"},"Body":{}}}}"#;

/// A call that each service answers with 200, not signed yet.
struct Service {
    /// Its name in signatures.
    name: &'static str,
    url: String,
    headers: Vec<(&'static str, &'static str)>,
    method: Method,
    body: &'static str,
}

impl Service {
    fn request(&self) -> Request {
        let mut request = Client::new().request(self.method.clone(), &self.url).body(self.body);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.build().unwrap()
    }
}

/// The services, with an open connection for `@connections`.
fn services(world: &World, connection_id: &str) -> [Service; 5] {
    let url = |name: &str| format!("{}/", world.variable(&format!("AWS_ENDPOINT_URL_{name}")));
    let json = ("content-type", "application/x-amz-json-1.0");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let mail = format!("{}v2/email/outbound-emails", url("SESV2"));
    let connection = format!("{}/ws/@connections/{}", world.http_url, connection_id.replace('=', "%3D"));
    let service = |name, url, headers, method, body| Service { name, url, headers, method, body };
    [
        service(
            "dynamodb",
            url("DYNAMODB"),
            vec![json, ("x-amz-target", "DynamoDB_20120810.ListTables")],
            Method::POST,
            "{}",
        ),
        service("sns", url("SNS"), vec![form], Method::POST, "Action=ListTopics&Version=2010-03-31"),
        service("sqs", url("SQS"), vec![json, ("x-amz-target", "AmazonSQS.ListQueues")], Method::POST, "{}"),
        service("ses", mail, vec![("content-type", "application/json")], Method::POST, MAIL),
        service("execute-api", connection, vec![], Method::GET, ""),
    ]
}

/// A world with an open socket, and its connection's id.
async fn world() -> (World, String, crate::world::Socket) {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let socket = user.socket().await;
    let items = world.items(&format!("USER#{}", user.id)).await;
    let id = items.iter().find_map(|item| item.get("connection_id")).unwrap().as_s().unwrap().clone();
    drop(user);
    (world, id, socket)
}

async fn send(request: Request) -> Response {
    let response = Client::new().execute(request).await.unwrap();
    let readable = response.headers().keys().find(|name| name.as_str().starts_with("access-control-"));
    assert!(readable.is_none(), "{readable:?}");
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn no_web_page_reaches_a_service() {
    let (world, id, _socket) = world().await;
    for service in services(&world, &id) {
        let signer = Signer::new(&world, service.name);
        let mut request = service.request();
        signer.sign(&mut request);
        assert_eq!(send(request).await.status(), 200, "{}", service.name);
        // The headers that a browser adds to otherwise valid requests.
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", world.http_url.as_str()),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let mut request = service.request();
            signer.sign(&mut request);
            request.headers_mut().insert(name, value.parse().unwrap());
            assert_eq!(send(request).await.status(), 403, "{} {name}: {value}", service.name);
        }
        let mut preflight = service.request();
        *preflight.method_mut() = Method::OPTIONS;
        preflight.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
        preflight.headers_mut().insert("access-control-request-method", "POST".parse().unwrap());
        assert_eq!(send(preflight).await.status(), 403, "{}", service.name);
        // A host name of the page that resolves to this machine (DNS rebinding).
        let port = service.request().url().port().unwrap();
        for host in [format!("evil.example:{port}"), "localhost:1".to_owned(), "127.0.0.1".to_owned()] {
            let mut request = service.request();
            request.headers_mut().insert("host", host.parse().unwrap());
            signer.sign(&mut request);
            assert_eq!(send(request).await.status(), 403, "{} {host}", service.name);
        }
        let mut request = service.request();
        request.headers_mut().insert("host", format!("localhost:{port}").parse().unwrap());
        signer.sign(&mut request);
        assert_eq!(send(request).await.status(), 200, "{}", service.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_signed_requests_reach_a_service() {
    let (world, id, _socket) = world().await;
    for service in services(&world, &id) {
        let rejected = if service.name == "dynamodb" { 400 } else { 403 };
        let right = Signer::new(&world, service.name);
        let elsewhere = if service.name == "sns" { "sqs" } else { "sns" };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let wrong = [
            (Signer { secret: "local".to_owned(), ..right.clone() }, "InvalidSignatureException"),
            (Signer { id: "AKIDEXAMPLE".to_owned(), ..right.clone() }, "UnrecognizedClientException"),
            (Signer { session: Some("token".to_owned()), ..right.clone() }, "UnrecognizedClientException"),
            (Signer { service: elsewhere, ..right.clone() }, "InvalidSignatureException"),
            (Signer { region: "eu-west-1", ..right.clone() }, "InvalidSignatureException"),
            (Signer { time: SystemTime::now() - minutes(6), ..right.clone() }, "InvalidSignatureException"),
            (Signer { time: SystemTime::now() + minutes(6), ..right.clone() }, "InvalidSignatureException"),
        ];
        for (signer, error) in wrong {
            let mut request = service.request();
            signer.sign(&mut request);
            let response = send(request).await;
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-amzn-errortype"]),
                (rejected, &error.parse().unwrap())
            );
        }
        let unsigned = send(service.request()).await;
        assert_eq!(unsigned.status(), rejected);
        assert_eq!(unsigned.headers()["x-amzn-errortype"], "MissingAuthenticationTokenException");
        for authorization in ["", "Token x", "AWS4-HMAC-SHA256 Credential=local", "AWS4-HMAC-SHA256 \u{e9}"] {
            let mut request = service.request();
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
            let response = send(request).await;
            assert_eq!(response.headers()["x-amzn-errortype"], "IncompleteSignatureException", "{authorization}");
        }
        if service.headers.iter().any(|(name, _)| *name == "x-amz-target") {
            let mut request = service.request();
            Signer { leaves_out: Some("x-amz-target"), ..right.clone() }.sign(&mut request);
            let response = send(request).await;
            assert_eq!(response.headers()["x-amzn-errortype"], "IncompleteSignatureException", "{}", service.name);
        }
        // A signature is for one body, path and method.
        let mut request = service.request();
        right.sign(&mut request);
        *request.body_mut() = Some(format!("{} ", service.body).into());
        assert_eq!(send(request).await.status(), rejected, "{}", service.name);
        let mut request = service.request();
        right.sign(&mut request);
        request.url_mut().set_query(Some("Action=DeleteTopic"));
        assert_eq!(send(request).await.status(), rejected, "{}", service.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_parse_the_errors_of_the_guard() {
    let (mut world, id, _socket) = world().await;
    let secret = world.environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "local".to_owned()).unwrap();
    let dynamodb = world.dynamodb().list_tables().send().await.unwrap_err().into_service_error();
    assert_eq!(dynamodb.code(), Some("InvalidSignatureException"));
    let sns = world.sns().list_topics().send().await.unwrap_err().into_service_error();
    assert_eq!(sns.code(), Some("SignatureDoesNotMatch"));
    let sqs = world.sqs().list_queues().send().await.unwrap_err().into_service_error();
    assert_eq!((sqs.code(), sqs.message().is_some()), (Some("SignatureDoesNotMatch"), true));
    let rejected = world.connections(Method::POST, &id, "{}").await;
    assert_eq!(rejected.headers()["x-amzn-errortype"], "InvalidSignatureException");
    assert!(rejected.json::<Value>().await.unwrap()["message"].as_str().unwrap().contains("signature"));
    world.environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), secret);
    world.dynamodb().list_tables().send().await.unwrap();
    for (variable, value, error, message) in [
        (
            "AWS_SESSION_TOKEN",
            "left over",
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        (
            "AWS_ACCESS_KEY_ID",
            "AKIDEXAMPLE",
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        ),
        (
            "AWS_REGION",
            "eu-west-1",
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region, not 'eu-west-1'. ",
        ),
    ] {
        let right = world.environment.insert(variable.to_owned(), value.to_owned()).unwrap();
        let sqs = world.sqs().list_queues().send().await.unwrap_err().into_service_error();
        assert_eq!((sqs.code(), sqs.message()), (Some(error), Some(message)));
        let sns = world.sns().list_topics().send().await.unwrap_err().into_service_error();
        assert_eq!((sns.code(), sns.message()), (Some(error), Some(message)));
        world.environment.insert(variable.to_owned(), right);
    }
    world.sns().list_topics().send().await.unwrap();
    world.sqs().list_queues().send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_apis_accept_only_local_and_allowed_host_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "<p>hello").unwrap();
    let mut options = options();
    options.website = Some(folder.path().to_owned());
    options.hosts = vec!["tunnel.example".to_owned(), "other.example:8443".to_owned()];
    let world = World::own(options).await;
    let port = world.http_url.rsplit(':').next().unwrap();
    let get = async |path: &str, host: &str| {
        let response = world.request(Method::GET, path).header("host", host).send().await.unwrap();
        (response.status().as_u16(), response.headers().contains_key("apigw-requestid"))
    };
    for (path, status) in [("/", 200), ("/auth/me/", 401), ("/ws", 426)] {
        for host in [&format!("localhost:{port}"), "tunnel.example", "tunnel.example:443", "other.example:8443"] {
            assert_eq!(get(path, host).await.0, status, "{path} {host}");
        }
        for host in [&format!("evil.example:{port}"), "localhost", "localhost:1", "other.example", "x.tunnel.example"] {
            assert_eq!(get(path, host).await, (403, true), "{path} {host}");
        }
    }
    // Web pages of other origins may call the HTTP API, as the template says; tokens protect it.
    let origin = world.request(Method::GET, "/auth/me/").header("origin", "https://elsewhere.example").send().await;
    assert_eq!(origin.unwrap().headers()["access-control-allow-origin"], "*");
    let rejected = world.request(Method::GET, "/auth/me/").header("host", "evil.example").send().await.unwrap();
    assert_eq!(rejected.json::<Value>().await.unwrap(), json!({"message": "Forbidden: allow this Host with --host"}));
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let socket =
        upgrade.into_iter().fold(world.request(Method::GET, "/ws"), |open, (name, value)| open.header(name, value));
    let socket = socket.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").header("host", "evil.example");
    assert_eq!(socket.send().await.unwrap().status(), 403);
}

/// The keys that `--env` prints in another process are valid for processes of the same user and of no one else.
#[tokio::test(flavor = "multi_thread")]
async fn printed_keys_are_valid_in_another_process() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let port = free_ports();
    let process = Process::start(port, &folder.path().join("confab.db"), "error").await;
    let printed = async |state: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab-under-test"));
        command.args(["--no-web", "--port", &port.to_string(), "--env"]).env("CONFAB_STATE", state);
        let output = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
        let exports = output.lines().map(|line| line.strip_prefix("export ").unwrap().split_once('=').unwrap());
        let environment = exports.map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()));
        World { environment: environment.collect(), ..World::at(port) }
    };
    let client = printed(folder.path()).await;
    assert_eq!(client.dynamodb().list_tables().send().await.unwrap().table_names().len(), 2);
    let stranger = printed(elsewhere.path()).await;
    let rejected = stranger.dynamodb().list_tables().send().await.unwrap_err().into_service_error();
    assert_eq!(rejected.code(), Some("InvalidSignatureException"));
    // The keys printed at the start are the same.
    eventually("it prints the keys", async || process.printed().contains(client.variable("AWS_SECRET_ACCESS_KEY")))
        .await;
    process.kill().await;
}
