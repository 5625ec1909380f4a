//! Time-outs for slow clients, on every port of the laptop cloud. Needs separate laptop clouds.

use std::{fs::File, time::Duration};

use confab_cloud::TimeLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{DEADLINE, World, eventually, options};

async fn world(website: Option<&std::path::Path>) -> World {
    let soon = Duration::from_millis(300);
    let mut options = options();
    options.limits = TimeLimits { headers: soon, body: soon, answer: soon };
    options.website = website.map(ToOwned::to_owned);
    World::own(options).await
}

/// The addresses of the gateway and of the services.
fn addresses(world: &World) -> Vec<String> {
    let services = ["DYNAMODB", "SNS", "SQS"].map(|name| world.variable(&format!("AWS_ENDPOINT_URL_{name}")));
    let urls = services.into_iter().chain([world.http_url.as_str()]);
    urls.map(|url| url.replace("http://", "")).collect()
}

/// Everything received until the server closes the connection.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut text)).await;
    // A reset connection counts as closed.
    let _ = read.expect("the connection stays open");
    String::from_utf8(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_are_closed() {
    let world = world(None).await;
    for address in addresses(&world) {
        let connect = async |text: String| {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            until_closed(stream).await
        };
        assert_eq!(connect(String::new()).await, "", "{address}: silent");
        let half = connect(format!("GET / HTTP/1.1\r\nHost: {address}\r\n")).await;
        assert!(half.is_empty() || half.starts_with("HTTP/1.1 408"), "{address}: {half}");
        let idle = connect(format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
        assert_eq!(idle.matches("HTTP/1.1 ").count(), 1, "{address}: {idle}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_request_bodies_time_out() {
    let world = world(None).await;
    for address in addresses(&world) {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The headers that a service requires before it reads a body.
        let authorization = "Authorization: AWS4-HMAC-SHA256 x";
        let head = format!(
            "POST /auth/token/create/ HTTP/1.1\r\nHost: {address}\r\n{authorization}\r\nContent-Length: 1000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // A single byte now and then does not count as progress.
        let (mut reader, mut writer) = stream.into_split();
        let drip = tokio::spawn(async move {
            while writer.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let mut answer = [0; 12];
        tokio::time::timeout(DEADLINE, reader.read_exact(&mut answer)).await.expect("it is waited for").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 408", "{address}");
        tokio::time::timeout(DEADLINE, drip).await.expect("the connection stays open").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_responses_time_out() {
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join("large")).unwrap().set_len(256 * 1024 * 1024).unwrap();
    let world = world(Some(folder.path())).await;
    let address = world.http_url.replace("http://", "");
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(format!("GET /large HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let stream = std::sync::Arc::new(tokio::sync::Mutex::new(stream));
    eventually("the connection is closed", async || stream.lock().await.write_all(b"x").await.is_err()).await;
}
