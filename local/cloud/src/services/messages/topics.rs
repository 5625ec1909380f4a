//! SNS's API over HTTP, in front of the embedded service.

use std::{collections::HashSet, sync::Arc};

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use rustack_sns_core::{handler::RustackSnsHandler, provider::RustackSns};
use rustack_sns_http::{dispatch, request, response, response::XmlWriter, router};

use super::limits::{Entry, Limits, Problem, invalid_ids};
use crate::like_aws::LikeAws;

const INVALID_CHARACTERS: &str = "Invalid parameter: Message Reason: Invalid characters found";
const MEMBER: &str = "PublishBatchRequestEntries.member.";

/// The topics.
pub(crate) struct Topics {
    handler: RustackSnsHandler,
    limits: Limits,
}

type Parameters = Vec<(String, String)>;

impl Topics {
    pub(crate) fn new(topics: Arc<RustackSns>, like_aws: &LikeAws) -> Self {
        Self { handler: RustackSnsHandler::new(topics), limits: Limits::of_topics(like_aws) }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, body: Bytes) -> Response<Body> {
        let parameters = request::parse_form_params(&body);
        let entries = entries(&parameters);
        let topic = request::get_optional_param(&parameters, "TopicArn").unwrap_or_default();
        let invalid = match self.limits.check(topic, &entries) {
            Ok(invalid) => invalid,
            Err(problem) => return rejected(problem),
        };
        if !invalid.contains(&true) {
            return self.pass(&parameters, body).await;
        }
        let ids = invalid_ids(&entries, &invalid);
        if ids.is_empty() {
            return error("InvalidParameter", INVALID_CHARACTERS);
        }
        self.publish_rest(parameters, &ids).await
    }

    async fn pass(&self, parameters: &Parameters, body: Bytes) -> Response<Body> {
        let id = uuid::Uuid::new_v4().to_string();
        let response = match router::resolve_operation(parameters) {
            Ok(operation) => dispatch::dispatch_operation(&self.handler, operation, body).await,
            Err(error) => Err(error),
        };
        response.unwrap_or_else(|error| response::error_to_response(&error, &id)).map(Body::new)
    }

    /// Publishes a batch without these entries, and reports them as failed.
    async fn publish_rest(&self, parameters: Parameters, invalid: &HashSet<String>) -> Response<Body> {
        let indices: HashSet<String> = parameters
            .iter()
            .filter(|(_, value)| invalid.contains(value))
            .filter_map(|(name, _)| Some(name.strip_prefix(MEMBER)?.strip_suffix(".Id")?.to_owned()))
            .collect();
        let is_left = |name: &str| {
            let index = name.strip_prefix(MEMBER).and_then(|rest| rest.split('.').next());
            index.is_none_or(|index| !indices.contains(index))
        };
        let rest: Parameters = parameters.into_iter().filter(|(name, _)| is_left(name)).collect();
        let mut failed = XmlWriter::new();
        for id in invalid {
            failed.raw("<member>");
            failed.write_element("Id", id);
            failed.write_element("Code", "InvalidParameter");
            failed.write_element("Message", INVALID_CHARACTERS);
            failed.write_bool_element("SenderFault", true);
            failed.raw("</member>");
        }
        let answer = if rest.iter().any(|(name, _)| name.starts_with(MEMBER)) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&rest).finish();
            self.pass(&rest, body.into()).await
        } else {
            nothing_published()
        };
        let (parts, body) = answer.into_parts();
        let text = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let text = text.replacen("</Failed>", &format!("{}</Failed>", failed.into_string()), 1);
        xml(parts.status, text)
    }
}

/// The messages of a request.
fn entries(parameters: &Parameters) -> Vec<Entry> {
    let text = |name: &str| request::get_optional_param(parameters, name).map(str::to_owned);
    match text("Action").as_deref() {
        Some("Publish") => {
            vec![Entry { id: None, body: text("Message").unwrap_or_default(), group: text("MessageGroupId") }]
        }
        Some("PublishBatch") => {
            let entries = request::parse_publish_batch_entries(parameters).unwrap_or_default().into_iter();
            entries
                .map(|entry| Entry { id: Some(entry.id), body: entry.message, group: entry.message_group_id })
                .collect()
        }
        _ => Vec::new(),
    }
}

fn nothing_published() -> Response<Body> {
    let mut text = XmlWriter::new();
    text.start_response("PublishBatch");
    text.start_result("PublishBatch");
    text.raw("<Successful></Successful><Failed></Failed>");
    text.end_element("PublishBatchResult");
    text.write_response_metadata(&uuid::Uuid::new_v4().to_string());
    text.end_element("PublishBatchResponse");
    xml(StatusCode::OK, text.into_string())
}

fn rejected(problem: Problem) -> Response<Body> {
    match problem {
        Problem::BatchTooLong => {
            error("BatchRequestTooLong", "The length of all the batch messages put together is more than the limit.")
        }
        Problem::InvalidEntryId => error(
            "InvalidBatchEntryId",
            "The Id of a batch entry in a batch request doesn't abide by the specification.",
        ),
        Problem::Throttled => error("Throttling", "Rate exceeded"),
    }
}

/// An error in SNS's format (<https://docs.aws.amazon.com/sns/latest/api/CommonErrors.html>).
fn error(code: &str, message: &str) -> Response<Body> {
    let mut text = XmlWriter::new();
    text.raw(r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>"#);
    text.write_element("Type", "Sender");
    text.write_element("Code", code);
    text.write_element("Message", message);
    text.end_element("Error");
    text.write_element("RequestId", &uuid::Uuid::new_v4().to_string());
    text.end_element("ErrorResponse");
    xml(StatusCode::BAD_REQUEST, text.into_string())
}

fn xml(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}
