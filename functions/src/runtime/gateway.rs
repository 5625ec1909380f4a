//! What the events of both of API Gateway's APIs have in common.

use serde::Deserialize;

/// What API Gateway says about a request, as far as the log has it. Events of queues and streams have none of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RequestContext {
    pub(super) route_key: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) connection_id: Option<String>,
}

impl RequestContext {
    pub(super) fn read(event: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Event {
            request_context: RequestContext,
        }
        serde_json::from_str::<Event>(event).unwrap_or_default().request_context
    }
}

/// The error for an event that cannot be read.
pub(super) fn malformed() -> confab_shared::Error {
    confab_shared::Error::Malformed("The request is malformed.".to_owned())
}
