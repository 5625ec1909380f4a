//! The errors of requests that conflict or are throttled, as DynamoDB words them
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>).

use axum::body::Body;
use dynoxide::{
    Database,
    errors::{CancellationReason, DynoxideError},
};
use http::{Response, StatusCode};
use serde_json::json;

use super::{super::dynamodb, items::ItemKey, operation::Operation};
use crate::description::{ACCOUNT, REGION};

const CONFLICT: &str = "Transaction is ongoing for the item";
const PROVISIONED: &str = "The level of configured provisioned throughput for the table was exceeded. Consider \
                           increasing your provisioning level with the UpdateTable API.";
const ON_DEMAND: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically \
                         scaling your table or index so please try again shortly. If exceptions persist, check if you \
                         have a hot key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/\
                         bp-partition-key-design.html";

/// The response to an operation that conflicts with others on these of its items.
pub(super) fn conflict(operation: Operation, items: &[bool]) -> Response<Body> {
    if operation.is_transaction() {
        return cancelled(items, "TransactionConflict", CONFLICT);
    }
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionConflictException";
    rejected(json!({ "__type": kind, "message": CONFLICT }).to_string())
}

/// The response to an operation whose partition key has no throughput left, for these of its items.
pub(super) fn throttled(database: &Database, operation: Operation, key: &ItemKey, items: &[bool]) -> Response<Body> {
    let metadata = database.get_table_metadata(&key.table).ok().flatten();
    let is_on_demand = metadata.is_some_and(|table| table.billing_mode.as_deref() == Some("PAY_PER_REQUEST"));
    let (kind, code, message) = match is_on_demand {
        true => ("com.amazon.coral.availability#ThrottlingException", "ThrottlingError", ON_DEMAND),
        false => {
            let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            (kind, "ProvisionedThroughputExceeded", PROVISIONED)
        }
    };
    if operation.is_transaction() {
        return cancelled(items, code, message);
    }
    let direction = if operation.is_write() { "Write" } else { "Read" };
    let reason = json!({
        "reason": format!("Table{direction}KeyRangeThroughputExceeded"),
        "resource": format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{}", key.table),
    });
    rejected(json!({ "__type": kind, "message": message, "throttlingReasons": [reason] }).to_string())
}

/// The response to a transaction that is cancelled for these of its items.
fn cancelled(items: &[bool], code: &str, message: &str) -> Response<Body> {
    let reasons = items.iter().map(|is_reason| match is_reason {
        true => CancellationReason { code: code.to_owned(), message: Some(message.to_owned()), item: None },
        false => CancellationReason { code: "None".to_owned(), message: None, item: None },
    });
    let reasons: Vec<CancellationReason> = reasons.collect();
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    let message =
        format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{}]", codes.join(", "));
    rejected(DynoxideError::TransactionCanceledException(message, reasons).to_json())
}

fn rejected(body: String) -> Response<Body> {
    dynamodb::response(StatusCode::BAD_REQUEST, body)
}
