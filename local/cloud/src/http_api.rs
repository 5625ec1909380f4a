//! API Gateway's HTTP API: finds a request's route, hands it to a function as an event of payload format 2.0, and answers
//! with what the function returns
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Instant};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::Utc;
use serde_json::{Map, Value, json};

use crate::{
    description::{ACCOUNT, Cors, HttpApi, HttpRoute},
    lambda::{Lambda, REQUEST_BYTES},
    listener::{BodyError, TimeLimits},
};

/// An event with a smaller body is in no danger of being too large for Lambda, however it is written.
const SMALL_BODY_BYTES: usize = 512 * 1024;

/// The gateway.
pub(crate) struct Gateway {
    pub(crate) api: HttpApi,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) domain: String,
    pub(crate) limits: TimeLimits,
}

impl Gateway {
    /// Answers a request.
    pub(crate) async fn answer(&self, parts: Parts, body: Body, peer: SocketAddr) -> Response<Body> {
        let started = Instant::now();
        let origin = parts.headers.get(header::ORIGIN).cloned();
        let id = request_id();
        let (function, mut response) = match self.preflight(&parts) {
            Some(response) => (None, response),
            None => self.route(&parts, body, peer, &id).await,
        };
        // AWS puts the id that the event and the access log have on every answer.
        if let Ok(id) = HeaderValue::try_from(&id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        if let (Some(cors), Some(origin)) = (&self.api.cors, origin) {
            cors.allow(&origin, response.headers_mut());
        }
        tracing::info!(
            "{} {} → {} {} ({} ms)",
            parts.method,
            parts.uri.path(),
            function.map_or("gateway", |function| self.lambda.name(function)),
            response.status().as_u16(),
            started.elapsed().as_millis()
        );
        response
    }

    async fn route(&self, parts: &Parts, body: Body, peer: SocketAddr, id: &str) -> (Option<&str>, Response<Body>) {
        // `OPTIONS *` and `CONNECT` have none.
        if !parts.uri.path().starts_with('/') {
            return (None, bad_request("The request has no path", id));
        }
        let body = match self.limits.read(body, REQUEST_BYTES).await {
            Ok(body) => body,
            Err(error) => return (None, unreadable(error)),
        };
        let Some((route, parameters)) = self.find(parts.method.as_str(), parts.uri.path()) else {
            return (None, message(StatusCode::NOT_FOUND, "Not Found"));
        };
        let Some(parameters) = parameters else {
            return (None, bad_request("The path is not UTF-8", id));
        };
        let event = self.event(parts, &body, peer, route, parameters, id);
        if body.len() > SMALL_BODY_BYTES && event.to_string().len() > REQUEST_BYTES {
            return (None, unreadable(BodyError::TooLarge));
        }
        let response = match self.lambda.invoke(&route.function, &event).await {
            Ok(answer) => response(answer),
            Err(error) => {
                tracing::error!(function = self.lambda.name(&route.function), %error, "an invocation failed");
                message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        };
        (Some(route.function.as_str()), response)
    }

    /// The route of a request: a full match before one with variables, that before a greedy one, and `$default` last
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html>). A trailing slash is
    /// ignored. There are no variables where one is not UTF-8.
    fn find(&self, method: &str, path: &str) -> Option<(&HttpRoute, Option<Map<String, Value>>)> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let matching = self.api.routes.iter().filter_map(|route| {
            if route.path.is_empty() {
                return Some(((4, 0), route, Some(Map::new())));
            }
            let any = route.method == "ANY";
            // Methods are case-sensitive (https://www.rfc-editor.org/rfc/rfc9110#section-9.1): `post` is not `POST`.
            if !any && route.method != method {
                return None;
            }
            let (rank, variables) = match_path(&route.path, path)?;
            Some(((rank, usize::from(any)), route, decoded(variables)))
        });
        matching.min_by_key(|(rank, ..)| *rank).map(|(_, route, parameters)| (route, parameters))
    }

    fn event(
        &self,
        parts: &Parts,
        body: &Bytes,
        peer: SocketAddr,
        route: &HttpRoute,
        parameters: Map<String, Value>,
        id: &str,
    ) -> Value {
        let now = Utc::now();
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let mut headers = headers(&parts.headers);
        let cookies = headers.remove("cookie");
        headers.entry("x-forwarded-for").or_insert_with(|| json!(peer.ip().to_string()));
        headers.entry("x-forwarded-port").or_insert_with(|| json!(self.domain.rsplit(':').next()));
        headers.entry("x-forwarded-proto").or_insert_with(|| json!("http"));
        let route_key = match route.path.as_str() {
            "" => "$default".to_owned(),
            path => format!("{} {path}", route.method),
        };
        let mut event = json!({
            "version": "2.0",
            "routeKey": route_key,
            "rawPath": path,
            "rawQueryString": query,
            "headers": headers,
            "requestContext": {
                "accountId": ACCOUNT,
                "apiId": "local",
                "domainName": self.domain,
                "domainPrefix": "local",
                "http": {
                    "method": parts.method.as_str(),
                    "path": path,
                    "protocol": format!("{:?}", parts.version),
                    "sourceIp": peer.ip().to_string(),
                    "userAgent": headers.get("user-agent").cloned().unwrap_or_else(|| json!("")),
                },
                "requestId": id,
                "routeKey": route_key,
                "stage": "$default",
                "time": now.format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                "timeEpoch": now.timestamp_millis(),
            },
            "isBase64Encoded": false,
        });
        if let Some(Value::String(cookies)) = cookies {
            event["cookies"] = cookies.split("; ").collect();
        }
        if !query.is_empty() {
            event["queryStringParameters"] = joined(form_urlencoded::parse(query.as_bytes()));
        }
        if !parameters.is_empty() {
            event["pathParameters"] = parameters.into();
        }
        if !body.is_empty() {
            match std::str::from_utf8(body) {
                Ok(text) if is_text(&parts.headers) => event["body"] = json!(text),
                _ => {
                    event["body"] = json!(STANDARD.encode(body));
                    event["isBase64Encoded"] = json!(true);
                }
            }
        }
        event
    }

    /// API Gateway answers preflight requests by itself where CORS is configured
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).
    fn preflight(&self, parts: &Parts) -> Option<Response<Body>> {
        let cors = self.api.cors.as_ref()?;
        let asks = parts.headers.contains_key(header::ORIGIN)
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if parts.method != Method::OPTIONS || !asks {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, values: &[String]| {
            if let Some(value) = list(values) {
                headers.insert(name, value);
            }
        };
        set(header::ACCESS_CONTROL_ALLOW_METHODS, &cors.allow_methods);
        set(header::ACCESS_CONTROL_ALLOW_HEADERS, &cors.allow_headers);
        if let Some(age) = cors.max_age {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, age.into());
        }
        Some(response)
    }
}

impl Cors {
    fn allow(&self, origin: &HeaderValue, headers: &mut HeaderMap) {
        let any = self.allow_origins.iter().any(|allowed| allowed == "*");
        let known = self.allow_origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes());
        if !any && !known {
            return;
        }
        let allowed = if any { HeaderValue::from_static("*") } else { origin.clone() };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if let Some(exposed) = list(&self.expose_headers) {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        if self.allow_credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

fn list(values: &[String]) -> Option<HeaderValue> {
    (!values.is_empty()).then(|| HeaderValue::from_str(&values.join(",")).ok())?
}

/// How well a route's path matches (0 in full, 1 with variables, 2 with a greedy one), and the variables' values as they are
/// in the path.
fn match_path<'a>(route: &'a str, path: &str) -> Option<(usize, Vec<(&'a str, String)>)> {
    let mut rank = 0;
    let mut variables = Vec::new();
    let mut segments = path.split('/');
    for expected in route.strip_suffix('/').unwrap_or(route).split('/') {
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => {
                    let rest: Vec<&str> = segments.by_ref().collect();
                    if rest.is_empty() {
                        return None;
                    }
                    variables.push((name, rest.join("/")));
                    rank = 2;
                }
                None => {
                    let segment = segments.next().filter(|segment| !segment.is_empty())?;
                    variables.push((name, segment.to_owned()));
                    rank = rank.max(1);
                }
            },
            None if segments.next() == Some(expected) => {}
            None => return None,
        }
    }
    segments.next().is_none().then_some((rank, variables))
}

/// Variables with their values decoded, if all of them are UTF-8.
fn decoded(variables: Vec<(&str, String)>) -> Option<Map<String, Value>> {
    let decode = |value: &str| Some(json!(percent_encoding::percent_decode_str(value).decode_utf8().ok()?));
    variables.into_iter().map(|(name, value)| Some((name.to_owned(), decode(&value)?))).collect()
}

/// Headers as events show them: names in lower case, values joined by commas. What is not UTF-8 shows as U+FFFD.
pub(crate) fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    match joined(pairs) {
        Value::Object(joined) => joined,
        _ => Map::new(),
    }
}

/// Pairs as an object, the values of repeated names joined by commas.
pub(crate) fn joined(pairs: impl IntoIterator<Item = (impl Into<String>, impl AsRef<str>)>) -> Value {
    let mut object: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        object
            .entry(name.into())
            .and_modify(|all| {
                all.push(',');
                all.push_str(value.as_ref());
            })
            .or_insert_with(|| value.as_ref().to_owned());
    }
    json!(object)
}

/// Bodies of these kinds reach the function as text, all others in base64; so do forms.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&media_type.as_str())
}

pub(crate) fn request_id() -> String {
    STANDARD.encode(&uuid::Uuid::new_v4().as_bytes()[..11])
}

/// An answer of the gateway's own.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer for a request that is not made for any function.
fn bad_request(text: &str, id: &str) -> Response<Body> {
    let mut response = message(StatusCode::BAD_REQUEST, text);
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// An answer for a request whose `Host` is neither a name of this machine nor allowed.
pub(crate) fn unknown_host() -> Response<Body> {
    let mut response = message(StatusCode::FORBIDDEN, "Forbidden: allow this Host with --host");
    if let Ok(id) = HeaderValue::try_from(request_id()) {
        response.headers_mut().insert("apigw-requestid", id);
    }
    response
}

fn unreadable(error: BodyError) -> Response<Body> {
    let mut response = match error {
        BodyError::TooLarge => message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        BodyError::TooSlow => message(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
    };
    // What there is of the body will not be read.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// What a function returned, as an HTTP response. Without a `statusCode` all of it is the body.
fn response(answer: Value) -> Response<Body> {
    if answer.get("statusCode").is_none() {
        let mut response = Response::new(Body::from(answer.to_string()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    }
    let well_formed = || -> Option<Response<Body>> {
        let status = answer["statusCode"].as_u64().and_then(|code| StatusCode::from_u16(code.try_into().ok()?).ok())?;
        let body = answer["body"].as_str().unwrap_or_default();
        let body = match answer["isBase64Encoded"].as_bool() {
            Some(true) => STANDARD.decode(body).ok()?,
            _ => body.as_bytes().to_vec(),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in answer["headers"].as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
        }
        for (name, values) in answer["multiValueHeaders"].as_object().into_iter().flatten() {
            let name = HeaderName::try_from(name).ok()?;
            headers.remove(&name);
            for value in values.as_array()? {
                headers.append(name.clone(), HeaderValue::try_from(value.as_str()?).ok()?);
            }
        }
        for cookie in answer["cookies"].as_array().into_iter().flatten() {
            headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
        }
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("text/plain;charset=UTF-8"));
        if status == StatusCode::NO_CONTENT {
            headers.remove(header::CONTENT_TYPE);
        }
        Some(response)
    };
    well_formed().unwrap_or_else(|| message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_by_rank() {
        assert_eq!(match_path("/a/b", "/a/b").unwrap().0, 0);
        let (rank, variables) = match_path("/a/{x}/c", "/a/b%20b/c").unwrap();
        assert_eq!((rank, &decoded(variables).unwrap()["x"]), (1, &json!("b b")));
        let (rank, variables) = match_path("/a/{rest+}", "/a/b/c").unwrap();
        assert_eq!((rank, &decoded(variables).unwrap()["rest"]), (2, &json!("b/c")));
        assert!(decoded(match_path("/a/{x}", "/a/%E9").unwrap().1).is_none());
        for (route, path) in [("/a/b", "/a"), ("/a", "/a/b"), ("/a/{x}", "/a/"), ("/a/{x}", "/a"), ("/a/b", "/a/B")] {
            assert!(match_path(route, path).is_none(), "{route} {path}");
        }
    }

    #[test]
    fn a_malformed_answer_is_an_error_of_the_gateway() {
        for answer in [
            json!({"statusCode": 99999}),
            json!({"statusCode": "x"}),
            json!({"statusCode": 200, "headers": {"a\nb": "c"}}),
            json!({"statusCode": 200, "isBase64Encoded": true, "body": "%"}),
        ] {
            assert_eq!(response(answer).status(), 500);
        }
        assert_eq!(response(json!({"hello": 1})).status(), 200);
    }
}
