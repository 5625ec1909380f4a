//! Requests and responses of the HTTP API, free of any gateway's format.

use std::{collections::HashMap, net::IpAddr};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, LINK, LOCATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE},
};
use serde::Serialize;

use crate::{
    Error, Result,
    auth::{client_info::ClientInfo, token::Token},
    chats::idempotency::IdempotencyKey,
    ids::{ChatUri, EntryId},
    input::{
        fields::Fields,
        target::{Target, in_ascii},
    },
};

/// Larger bodies and frames are rejected. The largest that anyone needs is a message of 2,000 characters, however they
/// are escaped.
pub const BODY_BYTES: usize = 64 * 1024;

/// A request, free of any gateway's format.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: Target,
    /// The values of the variables in the route's path.
    pub parameters: HashMap<String, String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The client's address, as the gateway saw it.
    pub source: Option<IpAddr>,
}

impl Request {
    /// The token in the `Authorization` header.
    ///
    /// # Errors
    /// As [`Token::from_authorization`].
    pub fn token(&self) -> Result<Option<Token>> {
        Token::from_authorization(self.headers.get(AUTHORIZATION))
    }

    /// What the client says about itself.
    pub fn client_info(&self) -> ClientInfo {
        ClientInfo::from_user_agent(self.headers.get(USER_AGENT))
    }

    /// The chat in the path, if it can be one.
    pub fn uri(&self) -> Option<ChatUri> {
        self.parameter("uri").parse().ok()
    }

    /// The entry in the path, or 0, which no entry has, if it cannot be one.
    pub fn entry_id(&self) -> EntryId {
        self.parameter("id").parse().map_or(EntryId::NONE, EntryId)
    }

    /// A variable of the route's path; empty if there is none of that name.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// The fields of the body.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; else as [`Fields::read`].
    pub async fn fields(&self) -> Result<Fields> {
        if self.body.len() > BODY_BYTES {
            return Err(Error::TooLarge(BODY_BYTES));
        }
        Fields::read(&self.headers, &self.body).await
    }

    /// The `Idempotency-Key` header.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a key.
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>> {
        let Some(value) = self.headers.get("idempotency-key") else { return Ok(None) };
        // A value that is not UTF-8 is no key, and neither is this stand-in for it.
        std::str::from_utf8(value.as_bytes()).unwrap_or("\u{FFFD}").parse().map(Some)
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body: JSON, JSON Lines, or empty.
    pub body: String,
}

impl Response {
    /// 200 with a body.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn ok(body: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::OK, body)
    }

    /// 200 with JSON Lines, and a link to the next page.
    ///
    /// # Errors
    /// When the link is not valid in a header.
    pub fn lines(body: String, next: Option<&str>) -> Result<Self> {
        let response = Self { status: StatusCode::OK, headers: HeaderMap::new(), body };
        let response = response.with(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        let Some(next) = next else { return Ok(response) };
        let link = HeaderValue::from_str(&format!("<{next}>; rel=\"next\"")).map_err(Error::internal)?;
        Ok(response.with(LINK, link))
    }

    /// 201 with a body.
    ///
    /// # Errors
    /// When the body cannot be written as JSON.
    pub fn created(body: &impl Serialize) -> Result<Self> {
        Self::json(StatusCode::CREATED, body)
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: String::new() }
    }

    /// 308 to another path.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the path is not valid in a header.
    pub fn moved(path: &str) -> Result<Self> {
        let location = HeaderValue::from_str(&in_ascii(path)).map_err(|_| Error::NotFound)?;
        let response = Self::json(StatusCode::PERMANENT_REDIRECT, &serde_json::json!({ "detail": "Moved." }))?;
        Ok(response.with(LOCATION, location))
    }

    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_string(body).map_err(Error::internal)?;
        let response = Self { status, headers: HeaderMap::new(), body };
        Ok(response.with(CONTENT_TYPE, HeaderValue::from_static("application/json")))
    }

    /// The response with one more header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// The one place where an error becomes an HTTP response, and where it is logged.
impl From<Error> for Response {
    fn from(error: Error) -> Self {
        error.log();
        let headers = match &error {
            Error::NotAuthenticated | Error::BadCredentials(_) => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Token")))
            }
            Error::MethodNotAllowed { allow, .. } => HeaderValue::from_str(allow).ok().map(|allow| (ALLOW, allow)),
            error => error.retry_after().map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds))),
        };
        let response = Self {
            status: StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: headers.into_iter().collect(),
            body: error.body().to_string(),
        };
        response.with(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }
}
