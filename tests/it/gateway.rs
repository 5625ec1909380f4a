//! The laptop cloud itself: faithful where it matters, and clear where something is wrong. Needs clouds of its own.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
};

use confab_cloud::{Cloud, Functions, Template};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

use crate::world::{DEADLINE, PASSWORD, World, answer, eventually, options};

#[tokio::test(flavor = "multi_thread")]
async fn connections_can_be_described_written_to_and_closed() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    let id = connection_ids(&world, user.id).await.remove(0);
    assert!(id.ends_with('='), "{id}");

    let about = world.connections(Method::GET, &id, "").await;
    assert_eq!(about.status(), 200);
    assert_eq!(about.json::<Value>().await.unwrap()["identity"]["sourceIp"], "127.0.0.1");
    assert!(world.connections(Method::POST, &id, r#"{"hello": 1}"#).await.status().is_success());
    assert_eq!(socket.next().await, json!({"hello": 1}));
    let large = "x".repeat(128 * 1024 + 1);
    assert_eq!(world.connections(Method::POST, &id, large).await.status(), 413);
    assert_eq!(world.connections(Method::DELETE, &id, "").await.status(), 204);
    assert_eq!(socket.closed().await, 1000);
    let gone = world.connections(Method::POST, &id, "{}").await;
    assert_eq!((gone.status().as_u16(), gone.headers()["x-amzn-errortype"].to_str().unwrap()), (410, "GoneException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_frames_close_the_socket() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    socket.send_text(&json!({"action": "ping", "x": "y".repeat(30_000)}).to_string()).await;
    assert_eq!(socket.next().await["type"], "pong");
    socket.send_text(&"y".repeat(32 * 1024 + 1)).await;
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_follows_the_template() {
    let mut options = options();
    options.parameters = BTreeMap::from([("AllowedOrigin".to_owned(), "https://chat.example".to_owned())]);
    let world = World::own(options).await;
    let preflight = |origin: &'static str| {
        let request = world.request(Method::OPTIONS, "/api/chats/").header("Origin", origin);
        request.header("Access-Control-Request-Method", "POST").send()
    };
    let allowed = preflight("https://chat.example").await.unwrap();
    assert_eq!(allowed.status(), 204);
    assert_eq!(allowed.headers()["access-control-allow-origin"], "https://chat.example");
    assert!(allowed.headers()["access-control-allow-headers"].to_str().unwrap().contains("idempotency-key"));
    assert!(!preflight("https://evil.example").await.unwrap().headers().contains_key("access-control-allow-origin"));
    let answered =
        world.request(Method::GET, "/auth/me/").header("Origin", "https://chat.example").send().await.unwrap();
    assert_eq!(answered.headers()["access-control-allow-origin"], "https://chat.example");
    assert_eq!(answered.status(), 401);
}

/// As API Gateway does, which takes no binary frames. What is not UTF-8 would be changed on its way to a function, which gets text.
#[tokio::test(flavor = "multi_thread")]
async fn binary_frames_close_the_socket() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    let mut socket = user.socket().await;
    let frame = format!(r#"{{"action": "send", "uri": "{uri}", "message": "café"}}"#);
    socket.send_binary(&frame.chars().map(|c| c as u8).collect::<Vec<u8>>()).await;
    assert_eq!(socket.closed().await, 1003);
    assert_eq!(user.history(&uri).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_match_with_and_without_a_trailing_slash() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    for path in ["/auth/me", "/auth/me/"] {
        assert_eq!(user.get(path).await.0, 200);
    }
    let refused = user.request(Method::DELETE, "/auth/me/").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "GET, PATCH, PUT"));
    assert_eq!(answer(world.request(Method::DELETE, "/auth/me/")).await.0, 401, "who asks comes before what they ask");
    assert!(refused.headers().contains_key("x-request-id"));
    // A method is one only as it is written.
    for (method, path, allow) in [("get", "/auth/me/", "GET, PATCH, PUT"), ("Post", "/api/chats/", "GET, POST")] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let refused = user.request(method, path).send().await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, allow));
    }
    let nothing = user.request(Method::from_bytes(b"get").unwrap(), "/nothing/").send().await.unwrap();
    assert_eq!(nothing.status(), 404);
    let plain = world.request(Method::GET, "/ws").send().await.unwrap();
    assert_eq!(plain.status(), 426);
    let header = |name: &str| plain.headers()[name].to_str().unwrap().to_lowercase();
    assert_eq!((header("connection").as_str(), header("upgrade").as_str()), ("upgrade", "websocket"));
    assert_eq!((header("sec-websocket-version").as_str(), header("content-type").as_str()), ("13", "application/json"));
    assert!(plain.json::<Value>().await.unwrap()["message"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_relative_references() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let uri = user.start_chat().await;
    user.post(&uri, "one").await;
    user.post(&uri, "two").await;
    let path = format!("/api/chats/{uri}/messages/");
    let (_, body) = user.get(&format!("{path}?limit=1")).await;
    assert_eq!(body["previous"], json!(format!("{path}?before=2&limit=1")));
    assert_eq!(user.get("/api/chats/%23/").await.0, 404);
    // What is not UTF-8 cannot be told to a function without changing it.
    let refused = user.request(Method::GET, "/api/chats/%E9/").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["content-type"]),
        (400, &"application/json".parse().unwrap())
    );
    assert_eq!(refused.headers()["x-request-id"], refused.headers()["apigw-requestid"]);
    assert_eq!(refused.json::<Value>().await.unwrap()["message"], "The path is not UTF-8");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_get_a_json_error() {
    let world = World::own(options()).await;
    let address = world.http_url.strip_prefix("http://").unwrap();
    let header = "x: y\r\n".repeat(200);
    for (request, status) in [
        (r#"GET /auth/me/?q=" HTTP/1.1"#.to_owned(), 400),
        ("GET /auth/me/?q=<b> HTTP/1.1".to_owned(), 400),
        ("GET /<script> HTTP/1.1".to_owned(), 400),
        ("GET /a b HTTP/1.1".to_owned(), 400),
        ("G\u{1}T / HTTP/1.1".to_owned(), 400),
        ("GET / HTTP/1.1\r\nno header".to_owned(), 400),
        ("GET / HTTP/1.1\r\nx: a\u{1}b".to_owned(), 400),
        ("POST / HTTP/1.1\r\ncontent-length: many".to_owned(), 400),
        ("OPTIONS * HTTP/1.1".to_owned(), 400),
        (format!("CONNECT {address} HTTP/1.1"), 400),
        (format!("GET /{} HTTP/1.1", "x".repeat(70_000)), 414),
        (format!("GET / HTTP/1.1\r\n{}", header.trim_end()), 431),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("{request}\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("it is not answered");
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}: {answer}"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(head.contains("\r\nx-request-id: ") && head.contains("\r\ncontent-type: application/json"), "{answer}");
        assert!(serde_json::from_str::<Value>(body).unwrap()["message"].is_string(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_reaches_the_connect_and_disconnect_routes() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    for action in ["$connect", "$disconnect", "$default"] {
        let answer = socket.ask(&json!({"action": action})).await;
        assert_eq!((&answer["status"], &answer["action"]), (&json!(404), &json!(action)));
    }
    assert_eq!(socket.ask(&json!({"action": "ping"})).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.data = Some(folder.path().join("confab.db"));
    let world = World::own(options.clone()).await;
    let form = json!({"username": "anna", "password": PASSWORD});
    assert_eq!(answer(world.request(Method::POST, "/auth/users/").json(&form)).await.0, 201);
    let token = world.log_in("anna").await;
    let chat = world.request(Method::POST, "/api/chats/").header("Authorization", format!("Token {token}"));
    let uri = answer(chat).await.1["uri"].as_str().unwrap().to_owned();
    let path = format!("/api/chats/{uri}/messages/");
    let post = world.request(Method::POST, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(post.json(&json!({"message": "keep me"}))).await.0, 200);
    world.cloud.unwrap().stop().await;

    let world = World::own(options).await;
    let read = world.request(Method::GET, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(read).await.1["messages"][0]["message"], "keep me");
    let open = world.open(&format!("?uri={uri}"), &[("authorization", &format!("Token {token}"))]).await;
    let mut socket = open.unwrap();
    let post = world.request(Method::POST, &path).header("Authorization", format!("Token {token}"));
    assert_eq!(answer(post.json(&json!({"message": "live"}))).await.0, 200);
    assert_eq!(socket.until("live").await.last().unwrap()["id"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_failures_are_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut port = options();
    port.ports.gateway = taken.local_addr().unwrap().port();
    let problem = Cloud::start(port.clone()).await.err().unwrap().to_string();
    assert!(problem.starts_with(&format!("Port {} cannot be listened on", port.ports.gateway)), "{problem}");

    for (name, value, problem) in [
        ("TokenDays", "0", "Parameter 'TokenDays' must be a number not less than 1."),
        ("FanoutConcurrency", "1001", "Parameter 'FanoutConcurrency' must be a number not greater than 1000."),
        ("PostsPerMinute", "many", "Parameter 'PostsPerMinute' must be a number."),
        ("StageName", "a/b", "Parameter 'StageName' must match pattern [A-Za-z0-9_]+."),
        ("Website", "maybe", "Parameter 'Website' must be one of AllowedValues: yes, no."),
        ("Tokendays", "1", "Parameters: [Tokendays] do not exist in the template."),
    ] {
        let mut options = options();
        options.parameters.insert(name.to_owned(), value.to_owned());
        assert_eq!(Cloud::start(options).await.err().unwrap().to_string(), problem);
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let start = async |text: &str| {
        fs::write(&path, text).unwrap();
        let mut options = options();
        match Template::read(&path) {
            Ok(template) => (options.template, options.parameters) = (template, BTreeMap::new()),
            Err(problem) => return problem.to_string(),
        }
        Cloud::start(options).await.err().unwrap().to_string()
    };
    let function = |name: &str| {
        format!(
            "Resources:\n  F:\n    Type: AWS::Serverless::Function\n    Metadata: {{ BuildProperties: {{ Binary: {name} }} }}\n    Properties: {{}}\n"
        )
    };
    assert!(start("Resources: [").await.contains("is not YAML"));
    assert_eq!(start(&function("no-such-function")).await, "There is no function no-such-function.");
    let why = "The function me does not start: the environment variable TABLE_NAME is not set.";
    assert_eq!(start(&function("me")).await, why);
    let dangling = format!(
        "{}  S:\n    Type: AWS::SNS::Subscription\n    Properties: {{ TopicArn: !Ref Nothing }}\n",
        function("me")
    );
    assert_eq!(start(&dangling).await, "The template is wrong: S: it refers to Nothing, which does not exist.");
    let missing = Template::read(&folder.path().join("none.yaml")).err().unwrap().to_string();
    assert!(missing.contains("none.yaml cannot be read"), "{missing}");
}

/// The cloud is a tool of its own: a template that has nothing to do with chat runs too.
#[tokio::test(flavor = "multi_thread")]
async fn any_template_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = r#"
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      Environment: { Variables: { GREETING: !Sub "hello from ${AWS::Region}" } }
      Events:
        Any: { Type: HttpApi, Properties: { Method: ANY, Path: "/echo/{rest+}" } }
"#;
    fs::write(&path, template).unwrap();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.functions = Functions::InProcess(Arc::new(|name, environment| {
        assert_eq!(name, "Echo");
        let greeting = environment["GREETING"].clone();
        Ok(Arc::new(move |event| {
            let event: Value = serde_json::from_str(event.payload.get()).unwrap();
            let answer = json!({"greeting": greeting, "event": event});
            Box::pin(async move { Ok(answer) })
        }))
    }));
    let cloud = Cloud::start(options).await.unwrap();
    let url = format!("{}/echo/a%20b/c?x=1&x=2&y=%C3%A9", cloud.http_url());
    let sent = reqwest::Client::new().delete(url).header("cookie", "a=1; b=2").body(vec![0xff]).send().await.unwrap();
    let answer: Value = sent.json().await.unwrap();
    assert_eq!(answer["greeting"], "hello from us-east-1");
    let event = &answer["event"];
    assert_eq!((&event["version"], &event["routeKey"]), (&json!("2.0"), &json!("ANY /echo/{rest+}")));
    assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/echo/a%20b/c"), &json!("x=1&x=2&y=%C3%A9")));
    assert_eq!(event["pathParameters"], json!({"rest": "a b/c"}));
    assert_eq!(event["queryStringParameters"], json!({"x": "1,2", "y": "é"}));
    assert_eq!(event["cookies"], json!(["a=1", "b=2"]));
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/w=="), &json!(true)));
    assert_eq!(event["requestContext"]["http"]["method"], "DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_a_template_are_expanded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = r#"
Transform: [AWS::LanguageExtensions, AWS::Serverless-2016-10-31]
Parameters:
  Names: { Type: CommaDelimitedList, Default: "One,Two" }
Globals:
  Function:
    LoggingConfig: { LogFormat: JSON }
    Environment: { Variables: { SHARED: all, GREETING: none } }
Resources:
  Fn::ForEach::Functions:
    - Name
    - !Ref Names
    - ${Name}Log: { Type: "AWS::Logs::LogGroup" }
      ${Name}Function:
        Type: AWS::Serverless::Function
        Properties:
          LoggingConfig: { LogGroup: !Ref "${Name}Log" }
          Environment: { Variables: { GREETING: !Sub "${Name} in ${AWS::Region}" } }
          Policies: [{ Statement: [{ Effect: Allow, Action: "logs:*", Resource: !GetAtt "${Name}Log.Arn" }] }]
          Events:
            Fn::ForEach::Routes:
              - Method
              - [Get, Put]
              - ${Method}: { Type: HttpApi, Properties: { Method: !Ref Method, Path: !Sub "/${Name}" } }
"#;
    fs::write(&path, template).unwrap();
    let mut options = options();
    options.template = Template::read(&path).unwrap();
    options.parameters = BTreeMap::from([("Names".to_owned(), "Three,Four".to_owned())]);
    options.functions = Functions::InProcess(Arc::new(|name, environment| {
        let answer = json!([name, environment["GREETING"], environment["SHARED"]]);
        Ok(Arc::new(move |_| {
            let answer = answer.clone();
            Box::pin(async move { Ok(answer) })
        }))
    }));
    let cloud = Cloud::start(options).await.unwrap();
    let client = reqwest::Client::new();
    for name in ["Three", "Four"] {
        for method in [Method::GET, Method::PUT] {
            let sent = client.request(method, format!("{}/{name}", cloud.http_url())).send().await.unwrap();
            let expected = json!([format!("{name}Function"), format!("{name} in us-east-1"), "all"]);
            assert_eq!(sent.json::<Value>().await.unwrap(), expected);
        }
    }
    assert_eq!(client.get(format!("{}/One", cloud.http_url())).send().await.unwrap().status(), 404);
}

/// Lambda's limits of 6 MB, wherever the functions run.
#[tokio::test(flavor = "multi_thread")]
async fn payloads_above_lambdas_limits_fail() {
    const LIMIT: usize = 6_291_556;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let template = "Resources:\n  Large:\n    Type: AWS::Serverless::Function\n    Properties:\n      Timeout: 60\n      Events: { Any: { Type: HttpApi } }\n";
    fs::write(&path, template).unwrap();
    // The path says how large the payload is to be.
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
    let here = Functions::InProcess(Arc::new(move |_, _| {
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
        // What is sent is limited as Lambda gets it: in an event, and bytes in base64.
        let megabytes = |count: usize| vec![b'x'; count * 1024 * 1024];
        assert_eq!(post(100, megabytes(5), "text/plain").await.0, 200);
        assert_eq!(post(100, megabytes(5), "image/png").await.0, 413);
        assert_eq!(post(100, megabytes(6), "text/plain").await.0, 413);
    }
}

/// Lambda runs a function to its end whether its caller waits or not.
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
    options.functions = Functions::InProcess(Arc::new(move |_, _| {
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
    // The gateway notices at its next look at the connection, and a look is what another request gives it.
    let _ = reqwest::Client::new().get(cloud.http_url()).timeout(std::time::Duration::from_millis(50)).send().await;
    go.notify_waiters();
    tokio::time::timeout(DEADLINE, done.notified()).await.expect("the function was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_is_answered() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    assert_eq!(user.socket().await.close_with(4001).await, Some(4001));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_can_be_closed() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    // Nothing reads from this one; it stays open.
    let _socket = user.socket().await;
    let id = connection_ids(&world, user.id).await.remove(0);
    let body = "x".repeat(128 * 1024);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        statuses.push(world.connections(Method::POST, &id, body.clone()).await.status().as_u16());
        assert!(statuses.len() < 2000, "it takes more and more");
    }
    assert!(statuses[..statuses.len() - 1].iter().all(|status| *status == 200));
    assert_eq!(world.connections(Method::DELETE, &id, "").await.status(), 204);
    eventually("the connection is gone", async || world.connections(Method::GET, &id, "").await.status() == 410).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_closes_with_pending_responses_is_removed() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    let mut socket = user.socket().await;
    for _ in 0..700 {
        socket.send(&json!({"action": "ping"})).await;
    }
    drop(socket);
    eventually("the connection is forgotten", async || connection_ids(&world, user.id).await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_closes_sockets_and_invokes_disconnect() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.data = Some(folder.path().join("confab.db"));
    let world = World::own(options.clone()).await;
    let user = world.user("anna").await;
    let (id, socket) = (user.id, user.socket().await);
    drop(user);
    assert_eq!(connection_ids(&world, id).await.len(), 1);
    world.cloud.unwrap().stop().await;
    assert_eq!(socket.closed().await, 1001);
    let world = World::own(options).await;
    assert!(connection_ids(&world, id).await.is_empty());
}

async fn connection_ids(world: &World, user_id: u64) -> Vec<String> {
    let query = world.dynamodb().query().table_name(world.variable("TABLE_NAME"));
    let query = query.key_condition_expression("pk = :pk AND begins_with(sk, :prefix)").consistent_read(true);
    let text = |text: String| aws_sdk_dynamodb::types::AttributeValue::S(text);
    let query = query.expression_attribute_values(":pk", text(format!("USER#{user_id}")));
    let found = query.expression_attribute_values(":prefix", text("CONNECTION#".to_owned())).send().await.unwrap();
    found.items().iter().map(|item| item["connection_id"].as_s().unwrap().clone()).collect()
}

/// The stream of a table, as the template has it: filtered, in batches, tried again by halves, and at last given up and told of.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_delivered_in_order_and_permanent_failures_are_reported() {
    let template = r#"
Resources:
  Things:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
      KeySchema: [{ AttributeName: id, KeyType: HASH }]
      StreamSpecification: { StreamViewType: NEW_IMAGE }
  Failures: { Type: AWS::SQS::Queue }
  Listener:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Things.StreamArn
            StartingPosition: TRIM_HORIZON
            BatchSize: 4
            MaximumBatchingWindowInSeconds: 1
            MaximumRetryAttempts: 1
            BisectBatchOnFunctionError: true
            DestinationConfig: { OnFailure: { Destination: !GetAtt Failures.Arn } }
            FilterCriteria: { Filters: [{ Pattern: '{"eventName": ["INSERT"], "dynamodb": {"Keys": {"id": {"S": [{"prefix": "thing"}]}}}}' }] }
Outputs:
  Failures: { Value: !Ref Failures }
  Things: { Value: !Ref Things }
"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    fs::write(&path, template).unwrap();
    let batches: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let seen = batches.clone();
    let mut options = options();
    (options.template, options.parameters) = (Template::read(&path).unwrap(), BTreeMap::new());
    options.data = Some(folder.path().join("data.db"));
    options.functions = Functions::InProcess(Arc::new(move |_, _| {
        let seen = seen.clone();
        Ok(Arc::new(move |event| {
            let event: Value = serde_json::from_str(event.payload.get()).unwrap();
            let records = event["Records"].as_array().unwrap();
            let ids: Vec<String> = records
                .iter()
                .map(|record| record["dynamodb"]["NewImage"]["id"]["S"].as_str().unwrap().to_owned())
                .collect();
            assert!(records.iter().all(|record| record["eventSource"] == "aws:dynamodb"));
            let fails = ids.iter().any(|id| id == "thing 3");
            seen.lock().unwrap().push(ids);
            Box::pin(async move { if fails { Err("thing 3 is too much".into()) } else { Ok(Value::Null) } })
        }))
    }));
    let cloud = Cloud::start(options.clone()).await.unwrap();
    let world = World { environment: cloud.client_environment(), ..World::at(0) };
    let table = cloud.outputs()["Things"].clone();
    let put = async |world: &World, id: String| {
        let put = world.dynamodb().put_item().table_name(&table);
        put.item("id", aws_sdk_dynamodb::types::AttributeValue::S(id)).send().await.unwrap();
    };
    for n in 0..6 {
        put(&world, format!("thing {n}")).await;
        put(&world, format!("nothing {n}")).await;
        // A change of what is there is no insertion.
        put(&world, format!("nothing {n}")).await;
    }
    let handled = |batches: &Mutex<Vec<Vec<String>>>| batches.lock().unwrap().concat();
    eventually("all of it is handed over", async || handled(&batches).contains(&"thing 5".to_owned())).await;
    let tried = handled(&batches);
    let count = |id: &str| tried.iter().filter(|tried| *tried == id).count();
    assert!(count("thing 3") > count("thing 5") && count("thing 5") == 1 && count("thing 0") >= 1, "{tried:?}");
    let told = world.sqs().receive_message().queue_url(&cloud.outputs()["Failures"]).wait_time_seconds(10);
    let told = told.send().await.unwrap().messages.expect("nothing is told of what was given up");
    let told: Value = serde_json::from_str(told[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(told["requestContext"]["condition"], "RetryAttemptsExhausted");
    assert_eq!((&told["DDBStreamBatchInfo"]["batchSize"], &told["version"]), (&json!(1), &json!("1.0")));

    // After a restart it goes on from where it was.
    cloud.stop().await;
    batches.lock().unwrap().clear();
    let cloud = Cloud::start(options).await.unwrap();
    let world = World { environment: cloud.client_environment(), ..World::at(0) };
    put(&world, "thing 6".to_owned()).await;
    eventually("the new one is handed over", async || !batches.lock().unwrap().is_empty()).await;
    assert_eq!(handled(&batches), ["thing 6"]);
}

/// As CloudFront would from a bucket, with the headers that the template has for it; what is no file is the API's.
#[tokio::test(flavor = "multi_thread")]
async fn a_website_is_served_next_to_the_apis() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("site/index.html", "<p>hello"), ("site/assets/a.js", "1"), ("secret.txt", "secret")] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut options = options();
    options.website = Some(folder.path().join("site"));
    options.parameters.insert("Website".to_owned(), "yes".to_owned());
    let cloud = Cloud::start(options).await.unwrap();
    let (url, client) = (cloud.http_url(), reqwest::Client::new());
    let get = async |path: &str| client.get(format!("{url}{path}")).send().await.unwrap();
    let page = get("/").await;
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((page.status().as_u16(), header("content-type").as_str()), (200, "text/html"));
    let policy = header("content-security-policy");
    let websocket = cloud.websocket_url().unwrap();
    let origin = websocket.trim_end_matches("/ws");
    assert!(
        policy.contains("script-src 'self';") && policy.contains(&format!("connect-src 'self' {url} {origin};")),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!((header("x-content-type-options").as_str(), header("x-frame-options").as_str()), ("nosniff", "DENY"));
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(cloud.outputs()["WebsiteUrl"], url);
    let modified = page.headers()["last-modified"].clone();
    assert_eq!(page.text().await.unwrap(), "<p>hello");
    assert_eq!(get("/assets/a.js").await.headers()["content-type"], "text/javascript");
    let known = client.get(&url).header("if-modified-since", modified).send().await.unwrap();
    assert_eq!(known.status(), 304);
    let head = client.head(format!("{url}/assets/a.js")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["content-length"]), (200, &"1".parse().unwrap()));
    let range = async |range: &str| {
        let part = client.get(&url).header("range", range).send().await.unwrap();
        (part.status().as_u16(), part.text().await.unwrap())
    };
    assert_eq!(range("bytes=1-3").await, (206, "p>h".to_owned()));
    assert_eq!(range("bytes=100-200").await.0, 416);
    for ignored in ["bytes=0-1,3-4", "bytes=3-1", "lines=1-2", "bytes"] {
        assert_eq!(range(ignored).await, (200, "<p>hello".to_owned()), "{ignored}");
    }
    let changed = client.get(&url).header("if-unmodified-since", "Thu, 01 Jan 1970 00:00:01 GMT").send().await.unwrap();
    assert_eq!(changed.status(), 412);
    for path in ["/nothing.js", "/assets", "/..%2Fsecret.txt", "/%2e%2e/secret.txt", "/assets/../../secret.txt"] {
        let (status, text) = (get(path).await.status(), get(path).await.text().await.unwrap());
        assert_eq!((status.as_u16(), text.contains("secret")), (404, false), "{path}: {text}");
    }
    let posted = client.post(format!("{url}/assets/a.js")).send().await.unwrap();
    assert_eq!(posted.status(), 404);
    assert_eq!(get("/auth/me/").await.status(), 401, "the API is there as ever");
    cloud.stop().await;
}
