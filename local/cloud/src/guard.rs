//! What a request must show before it reaches DynamoDB, SNS, SQS or `@connections`: that no web page sends it, that it is meant
//! for this machine, and that it is signed with a key that the laptop cloud gave out.
//!
//! A web page of any origin can send requests to loopback, and by DNS rebinding under a name of its own. Only the browser tells
//! them apart, by the headers `Origin`, `Sec-Fetch-Site` and `Host`
//! (<https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site>).

use axum::body::Body;
use bytes::Bytes;
use chrono::{NaiveDateTime, Utc};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, request::Parts, uri::Authority};
use rustack_auth::{
    AuthError, CredentialProvider, hash_payload,
    sigv4::{AuthResult, parse_authorization_header},
    verify_sigv4,
};
use serde_json::json;

use crate::{
    keys::KnownKeys,
    listener::{BodyError, TimeLimits},
};

/// The age at which AWS refuses a signature
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
const SIGNATURE_SECONDS: i64 = 5 * 60;

/// The names that a server goes by.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    port: u16,
    /// Beside those of the loopback interface, with or without a port.
    allowed: Vec<String>,
}

impl Hosts {
    pub(crate) fn new(port: u16, allowed: &[String]) -> Self {
        Self { port, allowed: allowed.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request is for one of these names.
    pub(crate) fn admit(&self, parts: &Parts) -> bool {
        let mut hosts = parts.headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        // A request may name its server in its first line too, and that is then what counts.
        let named = parts.uri.authority().cloned();
        let host = Authority::try_from(host.as_bytes()).ok();
        host.is_some_and(|host| self.knows(&host)) && named.is_none_or(|named| self.knows(&named))
    }

    fn knows(&self, authority: &Authority) -> bool {
        let name = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().unwrap_or(80);
        let is_here = ["127.0.0.1", "localhost", "[::1]"].contains(&name.as_str()) && port == self.port;
        is_here || self.allowed.iter().any(|allowed| *allowed == name || *allowed == format!("{name}:{port}"))
    }
}

/// How a service words its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    DynamoDb,
    Sns,
    Sqs,
    Connections,
}

impl Protocol {
    /// The service's name in a signature.
    fn scope(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            Self::Connections => "execute-api",
        }
    }
}

/// What is wrong with a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsigned {
    Missing,
    Incomplete,
    UnknownKey,
    Mismatch,
    Expired,
}

/// The guard of a service.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) protocol: Protocol,
    pub(crate) hosts: Hosts,
    pub(crate) keys: KnownKeys,
    pub(crate) limits: TimeLimits,
    /// The largest body.
    pub(crate) body_bytes: usize,
}

impl Guard {
    /// The request with its whole body, or the answer that refuses it.
    pub(crate) async fn admit(&self, request: Request<Body>) -> Result<(Parts, Bytes), Response<Body>> {
        let (parts, body) = request.into_parts();
        if is_from_a_page(&parts.headers) {
            return Err(forbidden("Web pages have no access to this service"));
        }
        if !self.hosts.admit(&parts) {
            return Err(forbidden("This service does not go by that name"));
        }
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(self.refusal(Unsigned::Missing));
        }
        let body = self.limits.read(body, self.body_bytes).await.map_err(unreadable)?;
        self.verify(&parts, &body).map_err(|problem| self.refusal(problem))?;
        Ok((parts, body))
    }

    fn verify(&self, parts: &Parts, body: &[u8]) -> Result<(), Unsigned> {
        // All services but S3 sign the path as it is sent, encoded once more, and the library decodes it first
        // (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#create-canonical-request).
        let path = parts.uri.path().replace('%', "%25");
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut signed = Request::new(()).into_parts().0;
        signed.method = parts.method.clone();
        signed.uri = Uri::try_from(format!("{path}{query}")).map_err(|_| Unsigned::Incomplete)?;
        signed.headers = parts.headers.clone();
        let keys: &dyn CredentialProvider = &self.keys;
        let AuthResult { service, signed_headers, .. } =
            verify_sigv4(&signed, &hash_payload(body), keys).map_err(|error| match error {
                AuthError::SignatureDoesNotMatch if !self.knows_key(parts) => Unsigned::UnknownKey,
                AuthError::SignatureDoesNotMatch | AuthError::InvalidPayloadHash => Unsigned::Mismatch,
                _ => Unsigned::Incomplete,
            })?;
        if service != self.protocol.scope() {
            return Err(Unsigned::Mismatch);
        }
        // What says where a request goes and what it asks for must be signed.
        let mut required =
            ["host", "x-amz-date", "x-amz-target"].into_iter().filter(|name| parts.headers.contains_key(*name));
        if required.any(|name| !signed_headers.iter().any(|signed| signed == name)) {
            return Err(Unsigned::Incomplete);
        }
        let date = parts.headers.get("x-amz-date").and_then(|date| date.to_str().ok()).unwrap_or_default();
        let date = NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| Unsigned::Incomplete)?;
        let age = Utc::now().naive_utc().signed_duration_since(date).num_seconds();
        if age.abs() > SIGNATURE_SECONDS { Err(Unsigned::Expired) } else { Ok(()) }
    }

    /// Whether the key that a request says it is signed with was given to somebody.
    fn knows_key(&self, parts: &Parts) -> bool {
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let parsed = authorization.and_then(|text| parse_authorization_header(text).ok());
        parsed.is_some_and(|parsed| self.keys.knows(&parsed.access_key_id))
    }

    /// A refusal as the service words it, so that its SDKs understand it
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
    /// <https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>).
    fn refusal(&self, problem: Unsigned) -> Response<Body> {
        let (exception, code, text) = match problem {
            Unsigned::Missing => (
                "MissingAuthenticationTokenException",
                "MissingAuthenticationToken",
                "Request is missing Authentication Token",
            ),
            Unsigned::Incomplete => (
                "IncompleteSignatureException",
                "IncompleteSignature",
                "Authorization header requires existence of Credential, SignedHeaders, Signature and X-Amz-Date.",
            ),
            Unsigned::UnknownKey => (
                "UnrecognizedClientException",
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            ),
            Unsigned::Mismatch => (
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
                 Access Key and signing method. Consult the service documentation for details.",
            ),
            Unsigned::Expired => (
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
                "Signature expired: the request must be signed within five minutes of its arrival.",
            ),
        };
        let id = uuid::Uuid::new_v4();
        let (status, content_type, body) = match self.protocol {
            Protocol::Sns => {
                let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{text}</Message></Error>");
                let xml = format!(
                    r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">{error}<RequestId>{id}</RequestId></ErrorResponse>"#
                );
                (StatusCode::FORBIDDEN, "text/xml", xml)
            }
            Protocol::Connections => {
                (StatusCode::FORBIDDEN, "application/json", json!({ "message": text }).to_string())
            }
            Protocol::DynamoDb | Protocol::Sqs => {
                // DynamoDB is alone in answering 400.
                let is_dynamodb = self.protocol == Protocol::DynamoDb;
                let status = if is_dynamodb { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
                let kind = format!("com.amazon.coral.service#{exception}");
                (status, "application/x-amz-json-1.0", json!({ "__type": kind, "message": text }).to_string())
            }
        };
        let mut response = answer(status, content_type, body);
        let headers = response.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            headers.insert("x-amzn-requestid", id);
        }
        if let (Protocol::Sqs, Ok(code)) = (self.protocol, HeaderValue::try_from(format!("{code};Sender"))) {
            headers.insert("x-amzn-query-error", code);
        }
        response
    }
}

/// Whether a browser sends this for a page, be it of this very origin.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    // `none` is what somebody has typed into the address bar.
    let site = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    site || headers.contains_key(header::ORIGIN)
}

/// A service's answer without anything that lets a web page read it.
pub(crate) fn closed_to_pages(mut response: Response<Body>) -> Response<Body> {
    let names: Vec<_> = response.headers().keys().cloned().collect();
    for name in names.iter().filter(|name| name.as_str().starts_with("access-control-")) {
        response.headers_mut().remove(name);
    }
    response
}

fn forbidden(text: &str) -> Response<Body> {
    answer(StatusCode::FORBIDDEN, "application/json", json!({ "message": text }).to_string())
}

fn unreadable(error: BodyError) -> Response<Body> {
    let (status, text) = match error {
        BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
        BodyError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
    };
    let mut response = answer(status, "application/json", json!({ "message": text }).to_string());
    // What there is of the body will not be read.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parts(uri: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn only_names_of_this_machine_are_admitted() {
        let hosts = Hosts::new(8000, &["Tunnel.example".to_owned(), "127.0.0.1:9000".to_owned()]);
        for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000", "127.0.0.1:9000"] {
            assert!(hosts.admit(&parts("/", &[host])), "{host}");
        }
        for host in ["tunnel.example", "TUNNEL.example:8000", "tunnel.example:443"] {
            assert!(hosts.admit(&parts("/", &[host])), "{host}");
        }
        for host in [
            "127.0.0.1",
            "127.0.0.1:8001",
            "localhost:80",
            "evil.example:8000",
            "0.0.0.0:8000",
            "127.0.0.1.evil.example:8000",
            "",
            "a b",
            "[::1]:9000",
            "evil@localhost:8001",
        ] {
            assert!(!hosts.admit(&parts("/", &[host])), "{host}");
        }
        assert!(!hosts.admit(&parts("/", &[])));
        assert!(!hosts.admit(&parts("/", &["127.0.0.1:8000", "127.0.0.1:8000"])));
        assert!(hosts.admit(&parts("http://localhost:8000/", &["127.0.0.1:8000"])));
        assert!(!hosts.admit(&parts("http://evil.example:8000/", &["127.0.0.1:8000"])));
    }

    #[test]
    fn pages_are_known_by_what_browsers_send() {
        let is_page = |name, value| is_from_a_page(&HeaderMap::from_iter([(name, HeaderValue::from_static(value))]));
        let site = header::HeaderName::from_static("sec-fetch-site");
        for value in ["null", "http://127.0.0.1:8000", "https://evil.example"] {
            assert!(is_page(header::ORIGIN, value), "{value}");
        }
        for value in ["cross-site", "same-site", "same-origin"] {
            assert!(is_page(site.clone(), value), "{value}");
        }
        assert!(!is_page(site, "none"));
    }
}
