//! The HTTP API and the website.

use std::{collections::BTreeMap, fs};

use confab_cloud::Cloud;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{DEADLINE, World, answer, options};

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

#[tokio::test(flavor = "multi_thread")]
async fn paths_match_with_and_without_a_trailing_slash() {
    let world = World::own(options()).await;
    let user = world.user("anna").await;
    for path in ["/auth/me", "/auth/me/"] {
        assert_eq!(user.get(path).await.0, 200);
    }
    let rejected = user.request(Method::POST, "/auth/me/").send().await.unwrap();
    assert_eq!(
        (rejected.status().as_u16(), rejected.headers()["allow"].to_str().unwrap()),
        (405, "DELETE, GET, HEAD, PATCH, PUT")
    );
    assert_eq!(answer(world.request(Method::POST, "/auth/me/")).await.0, 401, "who asks comes before what they ask");
    assert!(rejected.headers().contains_key("x-request-id"));
    // Methods are case-sensitive.
    for (method, path, allow) in
        [("get", "/auth/me/", "DELETE, GET, HEAD, PATCH, PUT"), ("Post", "/api/chats/", "GET, HEAD, POST")]
    {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let rejected = user.request(method, path).send().await.unwrap();
        assert_eq!((rejected.status().as_u16(), rejected.headers()["allow"].to_str().unwrap()), (405, allow));
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
    // A path that is not UTF-8 cannot be passed to a function unchanged.
    let rejected = user.request(Method::GET, "/api/chats/%E9/").send().await.unwrap();
    assert_eq!(
        (rejected.status().as_u16(), &rejected.headers()["content-type"]),
        (400, &"application/json".parse().unwrap())
    );
    assert_eq!(rejected.headers()["x-request-id"], rejected.headers()["apigw-requestid"]);
    assert_eq!(rejected.json::<Value>().await.unwrap()["message"], "The path is not UTF-8");
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

/// As CloudFront would from a bucket, with the headers from the template; paths without a file go to the API.
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
