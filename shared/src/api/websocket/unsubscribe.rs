//! `unsubscribe`: ends a subscription.

use serde::Serialize;

use super::{request::required_text, response::SocketResponse};
use crate::{
    Confab, Result,
    ids::{ChatUri, ConnectionId},
    input::fields::Fields,
};

#[derive(Debug)]
pub(super) struct Unsubscribe {
    uri: ChatUri,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "unsubscribed")]
struct Unsubscribed<'a> {
    uri: &'a ChatUri,
}

impl Unsubscribe {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { uri: required_text(fields, "uri")?.parse()? })
    }

    // The caller is not authenticated: a connection may always end its own subscriptions.
    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        confab.end_subscription(connection_id, &self.uri).await?;
        SocketResponse::frame(&Unsubscribed { uri: &self.uri })
    }
}
