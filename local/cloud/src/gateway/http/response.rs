//! A function's response as an HTTP response.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::server::message;

/// A function's response as an HTTP response. Without a `statusCode` all of it is the body.
pub(super) fn response(answer: Value) -> Response<Body> {
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

/// The name under which `WWW-Authenticate` of a function may arrive, as reported for AWS; REST APIs document it
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>).
const REMAPPED: HeaderName = HeaderName::from_static("x-amzn-remapped-www-authenticate");

/// A response whose `WWW-Authenticate` has another name.
pub(super) fn remap_www_authenticate(mut response: Response<Body>) -> Response<Body> {
    if let Some(value) = response.headers_mut().remove(header::WWW_AUTHENTICATE) {
        response.headers_mut().insert(REMAPPED, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_malformed_response_is_an_error_of_the_gateway() {
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
