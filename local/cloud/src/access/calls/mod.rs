//! What requests ask for: the actions, resources and condition keys by which AWS authorizes them
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>).

mod attributes;
mod dynamodb;
mod mail;
mod messages;
mod tables;

use http::request::Parts;
use serde_json::Value;

use super::{
    policy::{Call, Context},
    protocol::Protocol,
};
use crate::description::arn;
pub(super) use tables::Tables;

/// Reads what requests ask for.
pub(super) struct CallReader {
    pub(super) tables: Tables,
    /// The id of the WebSocket API.
    pub(super) websocket_id: String,
}

impl CallReader {
    /// What a request asks for, all of which must be allowed. Nothing if it cannot be read: its service rejects it then.
    pub(super) fn read(&self, protocol: Protocol, parts: &Parts, body: &[u8]) -> Vec<Call> {
        let operation = || parts.headers.get("x-amz-target")?.to_str().ok()?.rsplit_once('.').map(|(_, name)| name);
        match protocol {
            Protocol::DynamoDb | Protocol::Sqs => {
                let Some(operation) = operation() else { return Vec::new() };
                let Ok(body @ Value::Object(_)) = serde_json::from_slice(body) else { return Vec::new() };
                match protocol {
                    Protocol::DynamoDb => dynamodb::calls(operation, &body, &self.tables),
                    _ => vec![messages::sqs(operation, &body)],
                }
            }
            Protocol::Sns => messages::sns(body).into_iter().collect(),
            Protocol::Ses => mail::calls(parts, &serde_json::from_slice(body).unwrap_or_default()),
            Protocol::Connections => vec![self.connection(parts)],
        }
    }

    /// <https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html>
    fn connection(&self, parts: &Parts) -> Call {
        let path = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy();
        let (stage, connection) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
        let resource = format!("{}/{stage}/{}/{connection}", self.websocket_id, parts.method);
        Call::new("execute-api:ManageConnections", arn("execute-api", &resource), Context::new())
    }
}
