//! Authorization: every endpoint and action, called by every kind of caller, in one table.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    world::{Socket, User, World, template},
};

/// The outcome for each caller. `closed` is a socket that is closed, `open` one that opens. In paths and bodies, URI is
/// the chat, SELF the caller, OTHER another member, GUEST a user who is not a member, THEIRS a message of OTHER, and
/// OWN a message of SELF if they could post one.
///
/// The expired token was valid when its socket opened.
const TABLE: &str = r#"
                                                                    | none   bad    expired logged-out | stranger removed member owner
 GET    /auth/                            -                         | 200    401    401     401        | 200      200     200    200
 POST   /auth/users/create/               {}                        | 400    401    401     401        | 400      400     400    400
 POST   /auth/token/create/               {}                        | 400    401    401     401        | 400      400     400    400
 POST   /auth/token/exchange/             {}                        | 501    401    401     401        | 501      501     501    501
 POST   /auth/token/destroy/              {}                        | 401    401    401     401        | 204      204     204    204
 POST   /auth/token/logoutall/            {}                        | 401    401    401     401        | 204      204     204    204
 GET    /auth/tokens/                     -                         | 401    401    401     401        | 200      200     200    200
 DELETE /auth/tokens/0123456789abcdef/    -                         | 401    401    401     401        | 404      404     404    404
 DELETE /auth/tokens/                     -                         | 401    401    401     401        | 204      204     204    204
 GET    /auth/me/                         -                         | 401    401    401     401        | 200      200     200    200
 PATCH  /auth/me/                         {"first_name":"A"}        | 401    401    401     401        | 200      200     200    200
 DELETE /auth/me/                         {}                        | 401    401    401     401        | 400      400     400    400
 POST   /auth/users/delete/               {}                        | 401    401    401     401        | 400      400     400    400
 GET    /auth/users/me/export/            -                         | 401    401    401     401        | 200      200     200    200
 POST   /auth/password/                   {}                        | 401    401    401     401        | 400      400     400    400
 POST   /auth/username/                   {}                        | 401    401    401     401        | 400      400     400    400
 POST   /auth/password/reset/             {}                        | 400    401    401     401        | 400      400     400    400
 POST   /auth/password/reset/confirm/     {}                        | 400    401    401     401        | 400      400     400    400
 POST   /auth/users/resend_activation/    {}                        | 400    401    401     401        | 400      400     400    400
 POST   /auth/users/activate/             {}                        | 400    401    401     401        | 400      400     400    400
 POST   /api/chats/                       -                         | 401    401    401     401        | 200      200     200    200
 GET    /api/chats/                       -                         | 401    401    401     401        | 200      200     200    200
 GET    /api/chats/URI/                   -                         | 401    401    401     401        | 403      403     200    200
 PATCH  /api/chats/URI/                   {"username":"SELF"}       | 401    401    401     401        | 200      200     200    200
 PATCH  /api/chats/URI/                   {"owner":"OTHER"}      | 401    401    401     401        | 403      403     403    200
 PATCH  /api/chats/URI/                   {"username":"GUEST"}      | 401    401    401     401        | 403      403     200    200
 GET    /api/chats/URI/members/           -                         | 401    401    401     401        | 403      403     200    200
 GET    /api/chats/URI/messages/          -                         | 401    401    401     401        | 403      403     200    200
 POST   /api/chats/URI/messages/          {"message":"hello"}       | 401    401    401     401        | 403      403     200    200
 PATCH  /api/chats/URI/messages/THEIRS/   {"message":"new"}         | 401    401    401     401        | 403      403     403    403
 PATCH  /api/chats/URI/messages/OWN/      {"message":"new"}         | 401    401    401     401        | 403      403     200    200
 DELETE /api/chats/URI/messages/THEIRS/   -                         | 401    401    401     401        | 403      403     403    204
 DELETE /api/chats/URI/messages/OWN/      -                         | 401    401    401     401        | 403      403     204    204
 PUT    /api/chats/URI/messages/THEIRS/reactions/👍/ -              | 401    401    401     401        | 403      403     200    200
 DELETE /api/chats/URI/messages/THEIRS/reactions/👍/ -              | 401    401    401     401        | 403      403     204    204
 GET    /api/chats/URI/search/?q=hello    -                         | 401    401    401     401        | 403      403     200    200
 GET    /api/chats/URI/export/            -                         | 401    401    401     401        | 403      403     200    200
 PUT    /api/chats/URI/read/              {"id":0}                  | 401    401    401     401        | 403      403     200    200
 DELETE /api/chats/URI/members/SELF/      -                         | 401    401    401     401        | 403      403     204    204
 DELETE /api/chats/URI/members/OTHER/     -                         | 401    401    401     401        | 403      403     403    204
 DELETE /api/chats/URI/members/GUEST/     -                         | 401    401    401     401        | 403      403     403    404
 GET    /api/chats/0123456789abcde/       -                         | 401    401    401     401        | 404      404     404    404
 PATCH  /api/chats/0123456789abcde/       {"username":"SELF"}       | 401    401    401     401        | 404      404     404    404
 PUT    /api/chats/                       -                         | 401    401    401     401        | 405      405     405    405
 GET    /nowhere/                         -                         | 404    401    401     401        | 404      404     404    404
 OPEN   -                                 -                         | 401    401    401     401        | open     open    open   open
 OPEN   ?uri=URI                          -                         | 401    401    401     401        | 403      403     open   open
 SAY    -                                 {"action":"subscribe","uri":"URI","after":0} | 401 401 401 closed | 403 403 subscribed subscribed
 SAY    -                                 {"action":"unsubscribe","uri":"URI"} | 401 401 unsubscribed closed | unsubscribed unsubscribed unsubscribed unsubscribed
 SAY    -                                 {"action":"send","uri":"URI","message":"hi"} | 401 401 401 closed | 403 403   sent   sent
 SAY    -                                 {"action":"edit","uri":"URI","id":THEIRS,"message":"hi"} | 401 401 401 closed | 403 403 403 403
 SAY    -                                 {"action":"edit","uri":"URI","id":OWN,"message":"hi"} | 401 401 401 closed | 403 403 done done
 SAY    -                                 {"action":"delete","uri":"URI","id":THEIRS} | 401 401 401 closed | 403 403   403   done
 SAY    -                                 {"action":"delete","uri":"URI","id":OWN} | 401 401 401 closed | 403 403   done   done
 SAY    -                                 {"action":"react","uri":"URI","id":THEIRS,"emoji":"👍"} | 401 401 401 closed | 403 403   done   done
 SAY    -                                 {"action":"read","uri":"URI","id":0} | 401 401 401 closed | 403 403   read   read
 SAY    -                                 {"action":"typing","uri":"URI"} | 401 401 401 closed | 403 403   nothing   nothing
 SAY    -                                 {"action":"ping"}         | 401    401    401     closed     | pong     pong    pong   pong
 SAY    -                                 {"action":"fly"}          | 401    401    401     closed     | 404      404     404    404
"#;

struct Row {
    what: String,
    method: String,
    path: String,
    body: String,
    expected: Vec<String>,
}

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in TABLE.lines().skip(2) {
        let (what, expected) = line.split_once('|').unwrap();
        let mut words = what.split_whitespace().map(|word| if word == "-" { "" } else { word }.to_owned());
        let [method, path, body] = [(); 3].map(|()| words.next().unwrap());
        let expected: Vec<String> =
            expected.split_whitespace().filter(|word| *word != "|").map(str::to_owned).collect();
        assert_eq!(expected.len(), 8, "{what}");
        rows.push(Row { what: what.trim().to_owned(), method, path, body, expected });
    }
    rows
}

/// The users of every row. Each cell starts its own chats.
struct Cast<'a> {
    owner: User<'a>,
    other: User<'a>,
    guest: User<'a>,
    caller: User<'a>,
}

/// The outcome of a row for a caller.
async fn outcome(world: &World, cast: &Cast<'_>, row: &Row, caller: &str) -> String {
    let Cast { owner, other, guest, .. } = cast;
    let uri = owner.start_chat().await;
    other.join(&uri).await;
    let known = if caller == "owner" { owner } else { &cast.caller };
    let user = match caller {
        "expired" | "logged-out" => world.user(caller).await,
        // Rows that revoke the caller's tokens use a separate user.
        _ if row.path.contains("logoutall") || row.what.starts_with("DELETE /auth/tokens/ ") => {
            world.user(caller).await
        }
        _ if row.path.contains("destroy") => {
            User { world, username: known.username.clone(), id: known.id, token: world.log_in(&known.username).await }
        }
        _ => User { world, username: known.username.clone(), id: known.id, token: known.token.clone() },
    };
    if ["removed", "member"].contains(&caller) || caller == "owner" && user.id != owner.id {
        user.join(&uri).await;
    }
    let theirs = other.post(&uri, "hello").await.to_string();
    let own = match caller {
        "removed" | "member" | "owner" => user.post(&uri, "hello").await.to_string(),
        _ => theirs.clone(),
    };
    if caller == "removed" {
        let path = format!("/api/chats/{uri}/members/{}/", user.username);
        assert_eq!(owner.call(Method::DELETE, &path, Value::Null).await.0, 204);
    }
    let fill = |text: &str| {
        let names = [("SELF", &user.username), ("OTHER", &other.username), ("GUEST", &guest.username)];
        [("URI", &uri), ("THEIRS", &theirs), ("OWN", &own)]
            .iter()
            .chain(&names)
            .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let header = match caller {
        "none" => None,
        "bad" => Some(format!("Token {}", "0".repeat(64))),
        _ => Some(format!("Token {}", user.token)),
    };
    let headers: Vec<(&'static str, &str)> = header.iter().map(|value| ("authorization", value.as_str())).collect();
    let socket = match row.method.as_str() {
        "SAY" => match world.open("", &headers).await {
            Ok(socket) => Some(socket),
            Err(status) => return status.to_string(),
        },
        _ => None,
    };
    match caller {
        "expired" => world.expire_tokens(&user, -60).await,
        "logged-out" => {
            assert_eq!(user.call(Method::POST, "/auth/token/logout/", json!({})).await.0, 204);
        }
        _ => {}
    }
    match row.method.as_str() {
        "SAY" => response(socket.unwrap(), &fill(&row.body), caller).await,
        "OPEN" => match world.open(&fill(&row.path), &headers).await {
            Ok(_) => "open".to_owned(),
            Err(status) => status.to_string(),
        },
        method => {
            let mut request = world.request(method.parse().unwrap(), &fill(&row.path));
            for (name, value) in headers {
                request = request.header(name, value);
            }
            if !row.body.is_empty() {
                request = request.header("content-type", "application/json").body(fill(&row.body));
            }
            request.send().await.unwrap().status().as_u16().to_string()
        }
    }
}

async fn response(mut socket: Socket, frame: &str, caller: &str) -> String {
    if caller == "logged-out" {
        socket.closed().await;
        return "closed".to_owned();
    }
    socket.send_text(frame).await;
    // An action without a response is followed by one that has one.
    socket.send(&json!({"action": "ping"})).await;
    // Earlier entries of the chat may arrive on a new subscription before its response. The caller has joined and left
    // chats, so notifications of that may arrive at any time.
    let is_news = |answer: &Value| match answer["type"].as_str().unwrap() {
        "joined" | "message" => true,
        "unsubscribed" => !frame.contains("unsubscribe") || !frame.contains(answer["uri"].as_str().unwrap()),
        _ => false,
    };
    let mut next = async || loop {
        let answer = socket.next().await;
        if !is_news(&answer) {
            return answer;
        }
    };
    let mut answer = next().await;
    if (answer["type"] == "pong" || answer["action"] == "ping") && !frame.contains("\"ping\"") {
        // Frames are handled concurrently, so the response may arrive after that of `ping`.
        answer = match tokio::time::timeout(Duration::from_secs(2), next()).await {
            Ok(answer) => answer,
            Err(_) => return "nothing".to_owned(),
        };
    }
    match answer["type"].as_str().unwrap() {
        "error" => answer["status"].to_string(),
        kind => kind.to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_get_the_outcomes_in_the_table() {
    let world = World::any().await;
    let callers: Vec<&str> = TABLE.lines().nth(1).unwrap().split_whitespace().filter(|word| *word != "|").collect();
    assert_eq!(callers.len(), 8);
    let rows = rows();
    let cast = Cast {
        owner: world.user("owner").await,
        other: world.user("other").await,
        guest: world.user("guest").await,
        caller: world.user("caller").await,
    };
    let cells = rows.iter().flat_map(|row| callers.iter().zip(&row.expected).map(move |cell| (row, cell)));
    let wrong: Vec<String> = stream::iter(cells)
        .map(|(row, (caller, expected))| {
            let (world, cast) = (&world, &cast);
            async move {
                let actual = outcome(world, cast, row, caller).await;
                // The emulator rejects every socket with 403.
                let rejected = row.method == "OPEN" || row.method == "SAY" && ["none", "bad"].contains(caller);
                let expected = match expected.parse() {
                    Ok(status) if rejected => world.rejection(status).unwrap().to_string(),
                    _ => expected.clone(),
                };
                (actual != expected).then(|| format!("{}: {caller} got {actual}, not {expected}", row.what))
            }
        })
        .buffer_unordered(8)
        .filter_map(std::future::ready)
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every write to a chat, called by a member who is removed, or an owner who transfers the ownership, after the
/// permission was checked and before the write: no permission is used after it was revoked. The tuple is the outcome,
/// and who the caller is.
const LOSING: &str = r#"
 PATCH  /api/chats/URI/                   {"username":"GUEST"}      | member 403
 PATCH  /api/chats/URI/                   {"username":"GUEST"}      | owner  200
 PATCH  /api/chats/URI/                   {"owner":"OTHER"}         | owner  403
 POST   /api/chats/URI/messages/          {"message":"hello"}       | member 403
 PATCH  /api/chats/URI/messages/OWN/      {"message":"new"}         | member 403
 DELETE /api/chats/URI/messages/OWN/      -                         | member 403
 DELETE /api/chats/URI/messages/THEIRS/   -                         | owner  503
 PUT    /api/chats/URI/messages/THEIRS/reactions/👍/ -              | member 403
 PUT    /api/chats/URI/read/              {"id":3}                  | member 403
 DELETE /api/chats/URI/members/SELF/      -                         | member 403
 DELETE /api/chats/URI/members/OTHER/     -                         | owner  403
 SAY    -                                 {"action":"subscribe","uri":"URI","after":0} | member 403
 SAY    -                                 {"action":"send","uri":"URI","message":"hi"} | member 403
 SAY    -                                 {"action":"edit","uri":"URI","id":OWN,"message":"hi"} | member 403
 SAY    -                                 {"action":"delete","uri":"URI","id":OWN} | member 403
 SAY    -                                 {"action":"react","uri":"URI","id":THEIRS,"emoji":"👍"} | member 403
 SAY    -                                 {"action":"read","uri":"URI","id":3} | member 403
"#;

/// Needs a separate laptop cloud, behind a proxy that delays writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_permission_revoked_during_a_request_is_not_used() {
    let (world, dynamodb, _) = Proxy::world().await;
    let (other, guest) = (world.user("other").await, world.user("guest").await);
    for line in LOSING.lines().skip(1) {
        let (request, expected) = line.split_once('|').unwrap();
        let mut words = request.split_whitespace().map(|word| if word == "-" { "" } else { word });
        let [method, path, body] = [(); 3].map(|()| words.next().unwrap());
        let [role, status] = expected.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (host, caller) = (world.user("host").await, world.user("caller").await);
        let owner = if role == "owner" { &caller } else { &host };
        let uri = owner.start_chat().await;
        other.join(&uri).await;
        if role == "member" {
            caller.join(&uri).await;
        }
        let (theirs, own) = (other.post(&uri, "hello").await, caller.post(&uri, "hello").await);
        let fill = |text: &str| {
            let names = [
                ("SELF", caller.username.clone()),
                ("OTHER", other.username.clone()),
                ("GUEST", guest.username.clone()),
            ];
            let ids = [("URI", uri.clone()), ("THEIRS", theirs.to_string()), ("OWN", own.to_string())];
            ids.iter().chain(&names).fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
        };
        let mut socket = caller.socket().await;
        // The first write to this chat waits until the permission was revoked.
        let gate = dynamodb.hold({
            let uri = uri.clone();
            move |call| {
                let writes = ["TransactWriteItems", "UpdateItem"].contains(&call.operation.as_str());
                writes && call.body.contains(&uri) && !["fanout", "relay", "reconcile"].contains(&call.caller.as_str())
            }
        });
        let asked = async {
            if method == "SAY" {
                socket.send_text(&fill(body)).await;
                return socket.next_of("error").await["status"].to_string();
            }
            let request = caller.request(method.parse().unwrap(), &fill(path));
            let request = request.header("content-type", "application/json").body(fill(body));
            request.send().await.unwrap().status().as_u16().to_string()
        };
        let ended = async {
            gate.reached().await;
            let (method, path, body) = match role {
                "owner" => (Method::PATCH, format!("/api/chats/{uri}/"), json!({"owner": other.username})),
                _ => (Method::DELETE, format!("/api/chats/{uri}/members/{}/", caller.username), Value::Null),
            };
            let (status, body) = owner.call(method, &path, body).await;
            assert!(status.is_success(), "{line}: {body}");
            gate.open();
        };
        let (actual, ()) = futures_util::join!(asked, ended);
        assert_eq!(actual, status, "{line}");
        let log = other.get(&format!("/api/chats/{uri}/export/")).await.1;
        let mut log = log.as_array().unwrap().iter().rev();
        if role == "member" {
            assert_eq!(log.next().unwrap()["type"], "left", "{line}: nothing of theirs is behind it");
        }
    }
}

#[test]
fn the_table_has_every_route_of_the_template() {
    let template = template();
    let resources = template.body()["Resources"].as_object().unwrap();
    let same = |path: &str, template: &str| {
        let (path, template): (Vec<_>, Vec<_>) = (
            path.split("/?").next().unwrap().trim_end_matches('/').split('/').collect(),
            template.split('/').collect(),
        );
        path.len() == template.len() && path.iter().zip(&template).all(|(a, b)| b.starts_with('{') || a == b)
    };
    // These functions have several paths, one of which is in the table.
    let aliases = [
        "/auth/users",
        "/auth/token/login",
        "/auth/token/logout",
        "/auth/users/me",
        "/auth/users/set_password",
        "/auth/users/set_username",
        "/auth/users/reset_password",
        "/auth/users/reset_password_confirm",
        "/auth/users/reset_password/confirm",
        "/auth/users/resend",
        "/auth/users/activation",
    ];
    let rows = rows();
    for resource in resources.values() {
        for event in resource["Properties"]["Events"].as_object().into_iter().flat_map(|events| events.values()) {
            let properties = &event["Properties"];
            let (Some(method), Some(path)) = (properties["Method"].as_str(), properties["Path"].as_str()) else {
                continue;
            };
            // PUT of a profile does the same as PATCH, and HEAD is answered as GET (`head`).
            if aliases.contains(&path) || (method, path) == ("PUT", "/auth/me") || method == "HEAD" {
                continue;
            }
            assert!(
                rows.iter().any(|row| row.method == method && same(&row.path, path)),
                "{method} {path} is not asked"
            );
        }
    }
    let routes = resources["WebSocketApi"]["Properties"]["Routes"].as_object().unwrap();
    for action in routes.keys().filter(|key| !key.starts_with('$')) {
        assert!(rows.iter().any(|row| row.body.contains(&format!("\"{action}\""))), "{action} is not asked");
    }
}
