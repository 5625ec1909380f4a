//! Admits requests to DynamoDB, SNS, SQS, SES and `@connections`: those that no web page sends, that name this machine, and
//! that are signed with one of the laptop cloud's keys. A function's requests must be allowed by its policies.
//!
//! A web page of any origin can send requests to loopback, and by DNS rebinding under its own host name. Only the
//! browser's headers `Origin`, `Sec-Fetch-Site` and `Host` distinguish them
//! (<https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site>).

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use chrono::{NaiveDateTime, Utc};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header, request::Parts};
use rustack_auth::{
    AuthError, CredentialProvider, hash_payload,
    sigv4::{ParsedAuth, parse_authorization_header},
    verify_sigv4,
};

use super::{
    hosts::Hosts,
    keys::KnownKeys,
    permissions::Permissions,
    protocol::Protocol,
    rejection::{SignatureError, denied, payload_too_large, unsigned},
};
use crate::{
    description::REGION,
    server::{BodyError, TimeLimits, message, unreadable},
};

/// The age at which AWS rejects a signature
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
const SIGNATURE_SECONDS: i64 = 5 * 60;

/// The access key id that an admitted request is signed with. A function's is its name.
#[derive(Clone, Debug)]
pub(crate) struct Caller(pub(crate) String);

/// The guard of a service.
#[derive(Clone)]
pub(crate) struct Guard {
    pub(crate) protocol: Protocol,
    pub(crate) hosts: Hosts,
    pub(crate) keys: KnownKeys,
    pub(crate) permissions: Option<Arc<Permissions>>,
    pub(crate) limits: TimeLimits,
    /// The largest body.
    pub(crate) body_bytes: usize,
}

impl Guard {
    /// The request with its whole body, or the response that rejects it.
    pub(crate) async fn admit(&self, request: Request<Body>) -> Result<(Parts, Bytes), Response<Body>> {
        let (mut parts, body) = request.into_parts();
        if is_from_a_page(&parts.headers) {
            return Err(message(StatusCode::FORBIDDEN, "Web pages have no access to this service"));
        }
        if !self.hosts.admit(&parts) {
            return Err(message(StatusCode::FORBIDDEN, "The Host is not a name of this service"));
        }
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return Err(unsigned(self.protocol, &SignatureError::Missing));
        }
        let body = self.limits.read(body, self.body_bytes).await.map_err(|error| match (self.protocol, error) {
            (Protocol::Connections, BodyError::TooLarge) => payload_too_large(),
            _ => unreadable(error),
        })?;
        let caller = self.verify(&parts, &body).map_err(|error| unsigned(self.protocol, &error))?;
        if let Some(permissions) = &self.permissions {
            let authorized = permissions.authorize(&caller, self.protocol, &parts, &body);
            authorized.map_err(|refused| denied(self.protocol, &refused))?;
        }
        parts.extensions.insert(Caller(caller));
        Ok((parts, body))
    }

    /// The access key id that a request is signed with.
    fn verify(&self, parts: &Parts, body: &[u8]) -> Result<String, SignatureError> {
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let authorization = authorization.and_then(|text| parse_authorization_header(text).ok());
        let authorization = authorization.ok_or(SignatureError::Incomplete)?;
        // These keys are permanent; AWS accepts session tokens with temporary keys only.
        let token = parts.headers.get("x-amz-security-token").is_some_and(|token| !token.is_empty());
        if token || !self.keys.knows(&authorization.access_key_id) {
            return Err(SignatureError::UnknownKey);
        }
        self.check_scope(&authorization)?;
        let time = signing_time(parts)?;
        if authorization.date != time.format("%Y%m%d").to_string() {
            return Err(SignatureError::Date);
        }
        self.check_signature(parts, body)?;
        // The headers that determine the server and the operation must be signed.
        let mut required =
            ["host", "x-amz-date", "x-amz-target"].into_iter().filter(|name| parts.headers.contains_key(*name));
        if required.any(|name| !authorization.signed_headers.iter().any(|signed| signed == name)) {
            return Err(SignatureError::Incomplete);
        }
        let age = Utc::now().naive_utc().signed_duration_since(time).num_seconds();
        if age.abs() > SIGNATURE_SECONDS { Err(SignatureError::Expired) } else { Ok(authorization.access_key_id) }
    }

    /// A signature is for one region and one service.
    fn check_scope(&self, authorization: &ParsedAuth) -> Result<(), SignatureError> {
        if authorization.region != REGION {
            return Err(SignatureError::Region(authorization.region.clone()));
        }
        let service = self.protocol.scope();
        if authorization.service == service { Ok(()) } else { Err(SignatureError::Service(service)) }
    }

    fn check_signature(&self, parts: &Parts, body: &[u8]) -> Result<(), SignatureError> {
        // All services except S3 sign the path as it is sent, encoded once more, but the library decodes it first
        // (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html#create-canonical-request).
        let path = parts.uri.path().replace('%', "%25");
        let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut signed = Request::new(()).into_parts().0;
        signed.method = parts.method.clone();
        signed.uri = Uri::try_from(format!("{path}{query}")).map_err(|_| SignatureError::Incomplete)?;
        signed.headers = parts.headers.clone();
        let keys: &dyn CredentialProvider = &self.keys;
        match verify_sigv4(&signed, &hash_payload(body), keys) {
            Ok(_) => Ok(()),
            Err(AuthError::SignatureDoesNotMatch | AuthError::InvalidPayloadHash) => Err(SignatureError::Mismatch),
            Err(_) => Err(SignatureError::Incomplete),
        }
    }
}

/// When a request was signed.
fn signing_time(parts: &Parts) -> Result<NaiveDateTime, SignatureError> {
    let date = parts.headers.get("x-amz-date").and_then(|date| date.to_str().ok()).unwrap_or_default();
    NaiveDateTime::parse_from_str(date, "%Y%m%dT%H%M%SZ").map_err(|_| SignatureError::Incomplete)
}

/// Whether a browser sends this request for a web page, of this origin or another.
fn is_from_a_page(headers: &HeaderMap) -> bool {
    // `none` stands for an address that the user has typed.
    let site = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    site || headers.contains_key(header::ORIGIN)
}

/// A service's response without the headers that would let a web page read it.
pub(crate) fn closed_to_pages(mut response: Response<Body>) -> Response<Body> {
    let names: Vec<_> = response.headers().keys().cloned().collect();
    for name in names.iter().filter(|name| name.as_str().starts_with("access-control-")) {
        response.headers_mut().remove(name);
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

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
