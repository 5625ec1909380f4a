//! The embedded services behind one type.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};

use super::{
    mail::Ses,
    messages::{Queues, Topics},
    table_limits::LimitedDatabase,
};

/// An embedded service.
#[derive(Clone)]
pub(super) enum Service {
    DynamoDb(Arc<LimitedDatabase>),
    Sns(Arc<Topics>),
    Sqs(Arc<Queues>),
    Ses(Arc<Ses>),
}

impl Service {
    /// Answers a request.
    pub(super) async fn answer(&self, parts: &Parts, body: Bytes) -> Response<Body> {
        match self {
            Self::Ses(ses) => ses.answer(parts, &body),
            _ if parts.method != Method::POST => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                response
            }
            Self::DynamoDb(tables) => tables.answer(parts, body).await,
            Self::Sns(topics) => topics.answer(body).await,
            Self::Sqs(queues) => queues.answer(parts, body).await,
        }
    }
}
