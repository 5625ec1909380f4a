//! What functions answer Lambda with.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answer to an event.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    /// To a request of API Gateway.
    Gateway(GatewayAnswer),
    /// To a batch.
    Batch(BatchAnswer),
}

/// The answer to a request of either API
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewayAnswer {
    pub(super) status_code: u16,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_base64_encoded: Option<bool>,
}

/// What must be retried of a batch
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchAnswer {
    batch_item_failures: Vec<Failure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    item_identifier: String,
}

impl BatchAnswer {
    /// These are to be retried.
    pub(super) fn of(failed: impl IntoIterator<Item = impl ToString>) -> Self {
        let failure = |id: &dyn ToString| Failure { item_identifier: id.to_string() };
        Self { batch_item_failures: failed.into_iter().map(|id| failure(&id)).collect() }
    }
}

impl Answer {
    /// The status of an answer to API Gateway.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Gateway(answer) => Some(answer.status_code),
            Self::Batch(_) => None,
        }
    }
}
