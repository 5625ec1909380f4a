//! The limits of API Gateway, and its behavior that AWS does not document, each on and off.

use aws_sdk_apigatewaymanagement::{config::Builder, error::ProvideErrorMetadata, primitives::Blob};
use confab_cloud::{Cloud, LikeAws};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use super::client;
use crate::world::{Socket, World};

/// Buckets that are as good as never refilled.
const TEMPLATE: &str = r#"
Resources:
  Web:
    Type: AWS::Serverless::HttpApi
    Properties:
      CorsConfiguration: { AllowOrigins: ["*"] }
      DefaultRouteSettings: { ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 2 }
      RouteSettings: { GET /own: { ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 1 } }
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      RouteSelectionExpression: $request.body.action
      StageName: live
      DefaultRouteSettings: { ThrottlingRateLimit: 0.001, ThrottlingBurstLimit: 3 }
      Routes:
        $connect: { FunctionArn: !GetAtt Echo.Arn }
        $default: { FunctionArn: !GetAtt Echo.Arn, RouteResponseSelectionExpression: $default }
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Own: { Type: HttpApi, Properties: { Method: GET, Path: /own } }
        One: { Type: HttpApi, Properties: { Method: GET, Path: /one } }
        Other: { Type: HttpApi, Properties: { Method: GET, Path: "/other/{name}" } }
"#;

/// A frame is answered with its connection's id and as many characters as it asks for, a request with 401.
fn answer(event: Value) -> Value {
    let context = &event["requestContext"];
    match context["connectionId"].as_str() {
        None => json!({"statusCode": 401, "headers": {"WWW-Authenticate": "Basic"}, "body": "{}"}),
        Some(_) if context["routeKey"] == "$connect" => json!({"statusCode": 200}),
        Some(id) => {
            let frame: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
            let size = frame["size"].as_u64().unwrap() as usize;
            json!({"body": json!({"id": id, "padding": "x".repeat(size)}).to_string()})
        }
    }
}

async fn start(like_aws: LikeAws) -> (Cloud, World) {
    let cloud = super::cloud(TEMPLATE, answer, like_aws).await.unwrap();
    let world = client(&cloud, None);
    (cloud, world)
}

async fn get(world: &World, path: &str) -> Response {
    world.request(Method::GET, path).header("origin", "https://elsewhere.example").send().await.unwrap()
}

/// The statuses of as many requests of a path.
async fn statuses(world: &World, paths: &[&str]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(get(world, path).await.status().as_u16());
    }
    statuses
}

fn management(world: &World) -> aws_sdk_apigatewaymanagement::Client {
    let config = Builder::from(&world.aws("CONNECTIONS")).endpoint_url(format!("{}/live", world.http_url));
    let retries = aws_sdk_apigatewaymanagement::config::retry::RetryConfig::disabled();
    aws_sdk_apigatewaymanagement::Client::from_conf(config.retry_config(retries).build())
}

/// An open socket, and its connection's id.
async fn connect(world: &World) -> (Socket, String) {
    let mut socket = Socket::connect(&world.websocket_url, &[]).await.unwrap();
    socket.send(&json!({"size": 0})).await;
    let answer: Value = serde_json::from_str(&socket.next_text().await).unwrap();
    (socket, answer["id"].as_str().unwrap().to_owned())
}

async fn post(world: &World, id: &str, size: usize) -> Result<(), (u16, String)> {
    post_with(&management(world), id, size).await
}

async fn post_with(client: &aws_sdk_apigatewaymanagement::Client, id: &str, size: usize) -> Result<(), (u16, String)> {
    let data = Blob::new(format!("{:?}", "x".repeat(size - 2)));
    let sent = client.post_to_connection().connection_id(id).data(data).send().await;
    sent.map(drop).map_err(|error| {
        let status = error.raw_response().unwrap().status().as_u16();
        (status, error.into_service_error().code().unwrap().to_owned())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_throttle_requests() {
    let (_cloud, world) = start(LikeAws { stage_throttling: true, ..LikeAws::default() }).await;
    assert_eq!(
        statuses(&world, &["/own", "/own", "/one", "/other/a", "/one", "/own"]).await,
        [401, 429, 401, 401, 429, 429]
    );
    let throttled = get(&world, "/one").await;
    for absent in ["retry-after", "access-control-allow-origin"] {
        assert!(!throttled.headers().contains_key(absent), "{absent}");
    }
    assert!(throttled.headers().contains_key("apigw-requestid"));
    assert_eq!(throttled.text().await.unwrap(), r#"{"message":"Too Many Requests"}"#);
    let (_cloud, world) = start(LikeAws::default()).await;
    assert_eq!(statuses(&world, &["/own"; 4]).await, [401; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stages_throttle_frames_and_connections() {
    let (_cloud, world) = start(LikeAws { stage_throttling: true, ..LikeAws::default() }).await;
    // Connecting took one token of three, and its first frame another.
    let (mut socket, id) = connect(&world).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        socket.send(&json!({"size": 0})).await;
        answers.push(serde_json::from_str::<Value>(&socket.next_text().await).unwrap());
    }
    assert_eq!(answers[0]["id"], id);
    assert_eq!((&answers[1]["message"], &answers[1]["connectionId"]), (&json!("Too Many Requests"), &json!(id)));
    assert!(answers[1]["requestId"].is_string());
    assert_eq!(world.open("", &[]).await.err(), Some(429));
    // `@connections` has a separate limit.
    assert_eq!(post(&world, &id, 10).await, Ok(()));
    let (_cloud, world) = start(LikeAws::default()).await;
    for _ in 0..4 {
        connect(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_throttled() {
    // Few tokens come back while this runs.
    let few = LikeAws { connections_rate: Some(1), connections_burst: Some(50), ..LikeAws::default() };
    let (_cloud, world) = start(few).await;
    let client = management(&world);
    let posts = futures_util::future::join_all((0..200).map(|_| post_with(&client, "none", 10))).await;
    let count = |code: &str| posts.iter().filter(|post| post.as_ref().unwrap_err().1 == code).count();
    assert!(count("GoneException") >= 50 && count("LimitExceededException") >= 1, "{posts:?}");
    assert_eq!(count("GoneException") + count("LimitExceededException"), 200);
    assert!(posts.iter().all(|post| [410, 429].contains(&post.as_ref().unwrap_err().0)));
    let (_cloud, world) = start(LikeAws { connections_rate: Some(0), ..LikeAws::default() }).await;
    assert_eq!(post(&world, "none", 10).await, Err((429, "LimitExceededException".to_owned())));
    let (_cloud, world) = start(LikeAws::default()).await;
    assert_eq!(post(&world, "none", 10).await, Err((410, "GoneException".to_owned())));
}

const FRAME: usize = 32 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn messages_above_a_frame_close_the_socket() {
    let (_cloud, world) = start(LikeAws { connections_frame_limit: true, ..LikeAws::default() }).await;
    let (mut socket, id) = connect(&world).await;
    assert_eq!(post(&world, &id, FRAME).await, Ok(()));
    assert_eq!(socket.next_text().await.len(), FRAME);
    assert_eq!(post(&world, &id, FRAME + 1).await, Ok(()));
    assert_eq!(socket.closed().await, 1009);
    // A function's response, too.
    let (mut socket, _) = connect(&world).await;
    let overhead = {
        socket.send(&json!({"size": 0})).await;
        socket.next_text().await.len()
    };
    socket.send(&json!({"size": FRAME - overhead})).await;
    assert_eq!(socket.next_text().await.len(), FRAME);
    socket.send(&json!({"size": FRAME - overhead + 1})).await;
    assert_eq!(socket.closed().await, 1009);
    let (_cloud, world) = start(LikeAws::default()).await;
    let (mut socket, id) = connect(&world).await;
    assert_eq!(post(&world, &id, FRAME + 1).await, Ok(()));
    assert_eq!(socket.next_text().await.len(), FRAME + 1);
    let large = Err((413, "PayloadTooLargeException".to_owned()));
    assert_eq!(post(&world, &id, 4 * FRAME + 1).await, large);
}

#[tokio::test(flavor = "multi_thread")]
async fn slashes_can_be_literal() {
    let paths = ["/one", "/one/", "/other/a", "/other/a/"];
    let (_cloud, world) = start(LikeAws { literal_slashes: true, ..LikeAws::default() }).await;
    assert_eq!(statuses(&world, &paths).await, [401, 404, 401, 404]);
    let (_cloud, world) = start(LikeAws::default()).await;
    assert_eq!(statuses(&world, &paths).await, [401; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn www_authenticate_can_be_remapped() {
    for (remap_www_authenticate, present, absent) in [
        (true, "x-amzn-remapped-www-authenticate", "www-authenticate"),
        (false, "www-authenticate", "x-amzn-remapped-www-authenticate"),
    ] {
        let (_cloud, world) = start(LikeAws { remap_www_authenticate, ..LikeAws::default() }).await;
        let headers = get(&world, "/one").await.headers().clone();
        assert_eq!((&headers[present], headers.contains_key(absent)), (&"Basic".parse().unwrap(), false));
    }
}
