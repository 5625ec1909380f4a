//! Limits for slow clients and large bodies.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;

/// How long a client may take. AWS documents no such limits; the defaults are usual for web servers.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits {
    /// From the start of the connection, or the previous response, until a request's headers are complete.
    pub headers: Duration,
    /// From the headers until the body is complete.
    pub body: Duration,
    /// Without reading any part of a response.
    pub answer: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let (headers, rest) = (Duration::from_secs(60), Duration::from_secs(30));
        Self { headers, body: rest, answer: rest }
    }
}

/// Why a request's body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLarge,
    TooSlow,
}

impl TimeLimits {
    /// A whole body.
    pub(crate) async fn read(&self, body: Body, limit: usize) -> Result<Bytes, BodyError> {
        match tokio::time::timeout(self.body, to_bytes(body, limit)).await {
            Ok(body) => body.map_err(|_| BodyError::TooLarge),
            Err(_) => Err(BodyError::TooSlow),
        }
    }
}
