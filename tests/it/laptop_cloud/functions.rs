//! Invocations of functions.

use std::{collections::BTreeMap, fs, sync::Arc};

use confab_cloud::{Cloud, Functions, Template};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::Notify};

use crate::world::{DEADLINE, options};

/// Lambda's limits of 6 MB, in this process and through the Invoke API.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_above_lambdas_limits_fail() {
    const LIMIT: usize = 6_291_556;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = "Resources:\n  Large:\n    Type: AWS::Serverless::Function\n    Properties:\n      Timeout: 60\n      Events: { Any: { Type: HttpApi } }\n";
    fs::write(&path, template).unwrap();
    // The path has the size of the payload.
    let answer = |event: &str| {
        let event: Value = serde_json::from_str(event).unwrap();
        let size: usize = event["rawPath"].as_str().unwrap()[1..].parse().unwrap();
        let rest = json!({"statusCode": 200, "body": ""}).to_string().len();
        json!({"statusCode": 200, "body": "x".repeat(size - rest)})
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let invoke = move |event: String| std::future::ready(answer(&event).to_string());
    let lambda = axum::Router::new().fallback(invoke).layer(axum::extract::DefaultBodyLimit::disable());
    tokio::spawn(async move { axum::serve(listener, lambda).await.unwrap() });
    let here = Functions::InProcess(Arc::new(move |_, _, _| {
        Ok(Arc::new(move |event| Box::pin(async move { Ok(answer(event.payload.get())) })))
    }));
    for functions in [here, Functions::Endpoint(endpoint)] {
        let mut options = options();
        (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
        options.functions = functions;
        let cloud = Cloud::start(options).await.unwrap();
        let post = async |size: usize, body: Vec<u8>, content_type: &str| {
            let request = reqwest::Client::new().post(format!("{}/{size}", cloud.http_url()));
            let response = request.header("content-type", content_type).body(body).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        assert_eq!(post(LIMIT, vec![], "text/plain").await.0, 200);
        let (status, text) = post(LIMIT + 1, vec![], "text/plain").await;
        assert_eq!((status, text.as_str()), (500, r#"{"message":"Internal Server Error"}"#));
        // The limit for requests applies to the event that Lambda receives, with bytes in base64.
        let megabytes = |count: usize| vec![b'x'; count * 1024 * 1024];
        assert_eq!(post(100, megabytes(5), "text/plain").await.0, 200);
        assert_eq!(post(100, megabytes(5), "image/png").await.0, 413);
        assert_eq!(post(100, megabytes(6), "text/plain").await.0, 413);
    }
}

/// Lambda runs a function to its end, whether or not its caller waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_disconnecting_client_does_not_cancel_the_function() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = "Resources:\n  Slow:\n    Type: AWS::Serverless::Function\n    Properties:\n      Timeout: 30\n      Events: { Any: { Type: HttpApi } }\n";
    fs::write(&path, template).unwrap();
    let (started, go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let parts = (started.clone(), go.clone(), done.clone());
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.functions = Functions::InProcess(Arc::new(move |_, _, _| {
        let parts = parts.clone();
        Ok(Arc::new(move |_| {
            let (started, go, done) = parts.clone();
            Box::pin(async move {
                started.notify_one();
                go.notified().await;
                done.notify_one();
                Ok(Value::Null)
            })
        }))
    }));
    let cloud = Cloud::start(options).await.unwrap();
    let url = cloud.http_url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
    stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
    tokio::time::timeout(DEADLINE, started.notified()).await.unwrap();
    drop(stream);
    // The gateway detects it when it next polls the connection, which another request causes.
    let _ = reqwest::Client::new().get(cloud.http_url()).timeout(std::time::Duration::from_millis(50)).send().await;
    go.notify_waiters();
    tokio::time::timeout(DEADLINE, done.notified()).await.expect("the function was cut off");
}
