//! DynamoDB's API over HTTP, in front of the embedded engine
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>).
//!
//! dynoxide's own server answers web pages of any origin, checks no signatures, and cannot be put behind a guard. So
//! its operations are called here.

use axum::body::Body;
use bytes::Bytes;
use dynoxide::{Database, actions::transact_write_items::TransactWriteItemsRequest, errors::DynoxideError};
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    content::Content,
    request_tokens::{Known, RequestTokens},
};

const JSON: &str = "application/x-amz-json-1.0";
/// The longest client request token; the engine rejects longer ones.
const TOKEN_CHARACTERS: usize = 36;
const MISMATCH: &str = "An error occurred (IdempotentParameterMismatchException)";
const TARGETS: [&str; 2] = ["DynamoDB_20120810.", "DynamoDBStreams_20120810."];

/// What makes a transaction another one than the last with its token.
#[derive(Deserialize)]
struct TransactionContent {
    #[serde(rename = "TransactItems")]
    items: Content,
}

/// The embedded engine.
pub(super) struct Engine {
    pub(super) database: Database,
    tokens: RequestTokens,
}

impl Engine {
    pub(super) fn new(database: Database) -> Self {
        Self { database, tokens: RequestTokens::default() }
    }
}

/// Answers a request.
pub(super) fn answer(engine: &Engine, parts: &Parts, body: &Bytes) -> Response<Body> {
    if parts.method != Method::POST {
        return response(StatusCode::NOT_FOUND, "<UnknownOperationException/>\n".to_owned());
    }
    let operation = operation(parts);
    if operation == "TransactWriteItems" {
        return transact(engine, body).unwrap_or_else(|error| failed(&error));
    }
    match call(&engine.database, operation, body) {
        Some(Ok(answer)) => response(StatusCode::OK, answer),
        Some(Err(error)) => failed(&error),
        None => {
            let error = r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;
            response(StatusCode::BAD_REQUEST, error.to_owned())
        }
    }
}

/// The operation that a request names, without its API's name.
pub(super) fn operation(parts: &Parts) -> &str {
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    TARGETS.iter().find_map(|prefix| target.strip_prefix(prefix)).unwrap_or_default()
}

/// The engine's answer to a known operation; the response if it fails.
pub(super) fn json(database: &Database, parts: &Parts, request: &Value) -> Result<Value, Box<Response<Body>>> {
    let answer = call(database, operation(parts), request.to_string().as_bytes());
    let answer = answer.unwrap_or_else(|| Err(DynoxideError::InternalServerError(String::new())));
    let read = |answer: String| serde_json::from_str(&answer);
    answer
        .and_then(|answer| read(answer).map_err(|error| DynoxideError::InternalServerError(error.to_string())))
        .map_err(|error| Box::new(failed(&error)))
}

/// The response to a transaction.
fn transact(engine: &Engine, body: &[u8]) -> Result<Response<Body>, DynoxideError> {
    let mut request: TransactWriteItemsRequest = read(body)?;
    let token = request.client_request_token.take_if(|token| (1..=TOKEN_CHARACTERS).contains(&token.len()));
    let known = match &token {
        Some(token) => engine.tokens.begin(token, read::<TransactionContent>(body)?.items),
        None => Known::New,
    };
    match known {
        Known::New => {
            let answer = engine.database.transact_write_items(request);
            if let Some(token) = token {
                engine.tokens.end(&token, answer.is_ok());
            }
            Ok(response(StatusCode::OK, write(&answer?)?))
        }
        Known::Complete => Ok(response(StatusCode::OK, "{}".to_owned())),
        Known::InProgress => Ok(in_progress()),
        Known::Other => Err(DynoxideError::IdempotentParameterMismatchException(MISMATCH.to_owned())),
    }
}

/// The response to a transaction that is in progress already.
pub(super) fn in_progress() -> Response<Body> {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionInProgressException";
    let message = "The transaction with the given request token is already in progress";
    response(StatusCode::BAD_REQUEST, json!({ "__type": kind, "Message": message }).to_string())
}

pub(super) fn failed(error: &DynoxideError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response(status, error.to_json())
}

pub(super) fn response(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    if let Ok(id) = HeaderValue::try_from(uuid::Uuid::new_v4().simple().to_string().to_uppercase()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// The response of an operation; `None` if there is no such operation.
fn call(database: &Database, operation: &str, body: &[u8]) -> Option<Result<String, DynoxideError>> {
    macro_rules! operations {
        ($($name:literal => $method:ident,)*) => {
            match operation {
                $($name => Some(read(body).and_then(|request| write(&database.$method(request)?))),)*
                _ => None,
            }
        };
    }
    operations! {
        "BatchExecuteStatement" => batch_execute_statement,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "CreateTable" => create_table,
        "DeleteItem" => delete_item,
        "DeleteTable" => delete_table,
        "DescribeStream" => describe_stream,
        "DescribeTable" => describe_table,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "ExecuteTransaction" => execute_transaction,
        "GetItem" => get_item,
        "GetRecords" => get_records,
        "GetShardIterator" => get_shard_iterator,
        "ListStreams" => list_streams,
        "ListTables" => list_tables,
        "ListTagsOfResource" => list_tags_of_resource,
        "PutItem" => put_item,
        "Query" => query,
        "Scan" => scan,
        "TagResource" => tag_resource,
        "TransactGetItems" => transact_get_items,
        "UntagResource" => untag_resource,
        "UpdateItem" => update_item,
        "UpdateTable" => update_table,
        "UpdateTimeToLive" => update_time_to_live,
    }
}

/// Reads a request. The prefixes in the engine's errors determine the exception.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        match text.split_once(':') {
            Some(("VALIDATION" | "VALIDATION_AS_READ" | "VALIDATION_REQUEST", text)) => {
                DynoxideError::ValidationException(text.to_owned())
            }
            Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", text)) => {
                DynoxideError::SerializationException(text.to_owned())
            }
            _ if error.is_data() && (text.contains("missing field") || text.contains("unknown variant")) => {
                DynoxideError::ValidationException(text.to_owned())
            }
            _ => DynoxideError::SerializationException(text.to_owned()),
        }
    })
}

pub(super) fn write<T: serde::Serialize>(answer: &T) -> Result<String, DynoxideError> {
    serde_json::to_string(answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_cannot_be_read_is_the_callers_fault() {
        let database = Database::memory().unwrap();
        let error = |operation, body: &str| call(&database, operation, body.as_bytes()).unwrap().unwrap_err();
        let put = |value| format!(r#"{{"TableName": "things", "Item": {{"id": {value}}}}}"#);
        for body in [put(r#"{"N": "many"}"#), put(r#"{"NULL": false}"#), "{}".to_owned()] {
            let error = error("PutItem", &body);
            assert!(matches!(error, DynoxideError::ValidationException(_)), "{body}: {error:?}");
            assert!(!error.to_string().contains("VALIDATION"), "{error}");
        }
        for body in ["", "[", r#"{"TableName": 1}"#] {
            let error = error("DescribeTable", body);
            assert!(matches!(error, DynoxideError::SerializationException(_)), "{body}: {error:?}");
        }
        assert!(call(&database, "DropEverything", b"{}").is_none());
    }
}
