//! Events of the HTTP API (payload format 2.0).
//!
//! Nothing that a client sends may panic here: `lambda_http` builds a URL from headers and path and unwraps it, so the
//! event is read without it
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    input::target::Target,
};
use http::Method;
use lambda_runtime::BoxFuture;

use super::{answer::GatewayAnswer, deadline::in_time, gateway::malformed};

/// Answers a request.
pub(super) type Handler = for<'a> fn(&'a Confab, &'a Request) -> BoxFuture<'a, Result<Response>>;

/// Responds to a request. A public endpoint needs no token, but one that is given must be valid. The response repeats the
/// request's id. `HEAD` is answered as `GET`, without the body.
pub(super) async fn respond(
    handle: Handler,
    is_public: bool,
    confab: &Confab,
    event: &str,
    deadline: Instant,
    request_id: &str,
) -> GatewayAnswer {
    let request = read(event);
    let is_head = request.as_ref().is_ok_and(|request| request.method == Method::HEAD);
    let handled = in_time(deadline, async {
        let request = request?;
        if is_public {
            confab.authenticate_if_given(request.token()?.as_ref()).await?;
        }
        handle(confab, &request).await
    });
    let response = handled.await.unwrap_or_else(Response::from);
    write(if is_head { Response { body: String::new(), ..response } } else { response }, request_id)
}

fn read(event: &str) -> Result<Request> {
    let event: ApiGatewayV2httpRequest = serde_json::from_str(event).map_err(|_| malformed())?;
    let http = event.request_context.http;
    let body = match (event.body, event.is_base64_encoded) {
        (Some(body), true) => STANDARD.decode(body).map_err(|_| malformed())?.into(),
        (Some(body), false) => body.into(),
        (None, _) => Bytes::new(),
    };
    Ok(Request {
        method: http.method,
        target: Target::new(event.raw_path.unwrap_or_default(), event.raw_query_string.unwrap_or_default()),
        parameters: event.path_parameters,
        headers: event.headers,
        body,
        source: http.source_ip.and_then(|ip| ip.parse().ok()),
    })
}

/// The response as API Gateway takes it.
fn write(response: Response, request_id: &str) -> GatewayAnswer {
    let headers = response.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers = headers.chain([("x-request-id", request_id)]);
    GatewayAnswer {
        status_code: response.status.as_u16(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Some(response.body),
        is_base64_encoded: Some(false),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json, value::to_raw_value};

    /// A function's response to an event. No event here makes a function call AWS.
    fn answer(function: &str, event: &Value) -> Value {
        let environment = [("TABLE_NAME", "t")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let function = crate::handler(function, &environment.into()).unwrap();
        let event = lambda_runtime::LambdaEvent::new(to_raw_value(event).unwrap(), lambda_runtime::Context::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(function(event)).unwrap()
    }

    fn event(method: &str, path: &str, query: &str, headers: Value) -> Value {
        json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "pathParameters": { "uri": path, "id": query, "emoji": path, "username": query },
            "requestContext": { "http": { "method": method }, "requestId": "an id", "stage": "$default" },
        })
    }

    fn is_an_answer(answer: &Value) -> bool {
        let status = answer["statusCode"].as_u64().unwrap();
        let body = answer["body"].as_str().unwrap();
        let is_json = answer["headers"]["content-type"] == "application/json";
        (300..500).contains(&status)
            && is_json
            && serde_json::from_str::<Value>(body).is_ok()
            && answer["headers"]["x-request-id"] == "an id"
    }

    /// Each of these has been a panic, or could have been: a URL was built from them.
    #[test]
    fn forged_addresses_are_answered() {
        for (name, value) in [
            ("x-forwarded-proto", "https,http"),
            ("x-forwarded-proto", "://"),
            ("x-forwarded-proto", ""),
            ("host", "a b"),
            ("host", ""),
            ("host", "[::1"),
            ("host", "user@host:99999"),
            ("x-forwarded-host", "\"<>"),
            ("x-forwarded-port", "x"),
        ] {
            let answer = answer("me", &event("GET", "/auth/me/", "", json!({ name: value })));
            assert!(is_an_answer(&answer), "{name}: {value}: {answer}");
            assert_eq!(answer["statusCode"], 401);
        }
        for (path, query) in
            [("", ""), ("//", "?"), ("/a b", "\"<>\\^`{|}"), ("/ü/", "ü=\u{85}"), ("x", "#"), ("/%", "%")]
        {
            let answer = answer("fallback", &event("GET", path, query, json!({})));
            assert!(is_an_answer(&answer), "{path}?{query}: {answer}");
        }
    }

    #[test]
    fn what_http_does_not_allow_is_malformed() {
        let fine = || event("POST", "/auth/token/create/", "", json!({}));
        let mut events = vec![
            event("GET IT", "/", "", json!({})),
            event("GET", "/", "", json!({ "a b": "c" })),
            event("GET", "/", "", json!({ "a": "line\r\nbreak" })),
            event("GET", "/", "", json!({ "a": "\0" })),
        ];
        let mut bad_body = fine();
        bad_body["body"] = json!("no base64!");
        bad_body["isBase64Encoded"] = json!(true);
        events.push(bad_body);
        for event in events {
            let answer = answer("login", &event);
            assert_eq!((&answer["statusCode"], is_an_answer(&answer)), (&json!(400), true), "{event}: {answer}");
        }
        assert!(is_an_answer(&answer("login", &fine())));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_event_gives_an_answer(
            method in prop_oneof!["GET|POST|PUT|PATCH|DELETE|HEAD", "\\PC{0,5}"],
            path in "[/a-z.%?#\\\\ ]{0,20}|\\PC{0,20}|.{0,10}",
            query in "[a-z=&%?#+\" ]{0,20}|\\PC{0,20}|.{0,10}",
            headers in proptest::collection::btree_map(
                "host|x-forwarded-(proto|host|port|for)|content-type|idempotency-key|cookie|origin|\\PC{1,5}",
                "[a-z0-9:/@,;=\\[\\]\" ]{0,20}|\\PC{0,20}|.{0,10}",
                0..4,
            ),
            body in proptest::option::of("\\PC{0,20}"),
            is_base64_encoded: bool,
        ) {
            for function in ["me", "fallback", "login", "list-messages", "post-message", "react", "search-messages", "leave-chat"] {
                let mut event = event(&method, &path, &query, json!(headers));
                event["body"] = json!(body);
                event["isBase64Encoded"] = json!(is_base64_encoded);
                let mut answer = answer(function, &event);
                // The answer to HEAD has no body.
                if method == "HEAD" && answer["body"] == "" {
                    answer["body"] = json!("{}");
                }
                prop_assert!(is_an_answer(&answer), "{function}: {answer}");
            }
        }
    }
}
