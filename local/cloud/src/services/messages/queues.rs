//! SQS's API over HTTP, in front of the embedded service.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use rustack_sqs_core::{handler::RustackSqsHandler, provider::RustackSqs};
use rustack_sqs_http::{dispatch, response, router};
use rustack_sqs_model::{error::SqsError, operations::SqsOperation};
use serde_json::{Value, json};

use super::{
    limits::{Entry, Limits, Problem, invalid_ids},
    receives::Receives,
};
use crate::like_aws::LikeAws;

const INVALID_CHARACTERS: &str = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to \
                                  #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.";

/// The queues.
pub(crate) struct Queues {
    handler: RustackSqsHandler,
    limits: Limits,
    receives: Option<Receives>,
}

impl Queues {
    pub(crate) fn new(queues: &Arc<RustackSqs>, like_aws: &LikeAws) -> Self {
        Self {
            handler: RustackSqsHandler::new(queues.clone()),
            limits: Limits::of_queues(like_aws),
            receives: like_aws.messages_group_batches.then(|| Receives::new(queues)),
        }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, parts: &Parts, body: Bytes) -> Response<Body> {
        let operation = match router::resolve_operation(&parts.headers) {
            Ok(operation) => operation,
            Err(error) => return failed(&error),
        };
        self.perform(operation, body).await
    }

    /// The answer to a request from within the cloud. The error is one sentence without its full stop.
    pub(crate) async fn call(&self, operation: SqsOperation, request: &Value) -> Result<Value, String> {
        let response = self.perform(operation, request.to_string().into()).await;
        let is_success = response.status().is_success();
        let body = to_bytes(response.into_body(), usize::MAX).await.map_err(|error| error.to_string())?;
        match is_success {
            true => serde_json::from_slice(&body).map_err(|error| error.to_string()),
            false => Err(String::from_utf8_lossy(&body).into_owned()),
        }
    }

    async fn perform(&self, operation: SqsOperation, body: Bytes) -> Response<Body> {
        if matches!(operation, SqsOperation::SendMessage | SqsOperation::SendMessageBatch) {
            return self.send(operation, body).await;
        }
        match &self.receives {
            Some(receives) => match receives.answer(operation, &body).await {
                Some(Ok(answer)) => {
                    response::json_response(answer.to_string().into_bytes(), &request_id()).map(Body::new)
                }
                Some(Err(error)) => failed(&error),
                None => self.pass(operation, body).await,
            },
            None => self.pass(operation, body).await,
        }
    }

    async fn pass(&self, operation: SqsOperation, body: Bytes) -> Response<Body> {
        match dispatch::dispatch_operation(&self.handler, operation, body).await {
            Ok(response) => response.map(Body::new),
            Err(error) => failed(&error),
        }
    }

    async fn send(&self, operation: SqsOperation, body: Bytes) -> Response<Body> {
        let mut request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let entries: Vec<Entry> = match request["Entries"].as_array() {
            Some(entries) => entries.iter().map(entry).collect(),
            None => vec![entry(&request)],
        };
        let invalid = match self.limits.check(request["QueueUrl"].as_str().unwrap_or_default(), &entries) {
            Ok(invalid) => invalid,
            Err(problem) => return rejected(problem),
        };
        if !invalid.contains(&true) {
            return self.pass(operation, body).await;
        }
        let ids = invalid_ids(&entries, &invalid);
        let Some(entries) = request["Entries"].as_array_mut() else {
            return error("InvalidMessageContents", INVALID_CHARACTERS);
        };
        entries.retain(|entry| !entry["Id"].as_str().is_some_and(|id| ids.contains(id)));
        let mut answer = json!({ "Successful": [], "Failed": [] });
        if !entries.is_empty() {
            let response = self.pass(operation, request.to_string().into()).await;
            if response.status() != StatusCode::OK {
                return response;
            }
            let text = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
            answer = serde_json::from_slice(&text).unwrap_or_default();
        }
        let invalid = ids.iter().map(|id| {
            json!({ "Id": id, "SenderFault": true, "Code": "InvalidMessageContents", "Message": INVALID_CHARACTERS })
        });
        let failed = answer["Failed"].as_array().into_iter().flatten().cloned();
        answer["Failed"] = failed.chain(invalid).collect();
        response::json_response(answer.to_string().into_bytes(), &request_id()).map(Body::new)
    }
}

fn entry(message: &Value) -> Entry {
    let text = |name: &str| message[name].as_str().map(str::to_owned);
    Entry { id: text("Id"), body: text("MessageBody").unwrap_or_default(), group: text("MessageGroupId") }
}

fn failed(error: &SqsError) -> Response<Body> {
    response::error_to_response(error, &request_id()).map(Body::new)
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn rejected(problem: Problem) -> Response<Body> {
    match problem {
        Problem::BatchTooLong => error("BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes."),
        Problem::InvalidEntryId => error(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 \
             letters long.",
        ),
        Problem::Throttled => error("ThrottlingException", "Rate exceeded"),
    }
}

/// An error in SQS's format, with the code of its former protocol
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-faqs.html>).
fn error(code: &'static str, message: &str) -> Response<Body> {
    let body = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": message });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(code) = HeaderValue::try_from(format!("{code};Sender")) {
        headers.insert("x-amzn-query-error", code);
    }
    response
}
