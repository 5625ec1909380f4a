//! `read`: moves the caller's read marker forward. If the event that follows reaches the caller, it is the answer: API
//! Gateway bills each answer.

use super::{request::required_text, response::SocketResponse};
use crate::{
    Confab, Result,
    chats::access::AlsoRead,
    ids::{ConnectionId, EntryId},
    input::fields::Fields,
};

#[derive(Debug)]
pub(super) struct MarkRead {
    uri: String,
    id: Result<EntryId>,
}

impl MarkRead {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { uri: required_text(fields, "uri")?, id: fields.required_entry_id("id") })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let connection = confab.connection(connection_id).await?;
        let marker = Some(AlsoRead::Marker);
        let access = confab.authorize_as(connection.identity, self.uri.parse().ok(), marker).await?;
        access.require_member()?;
        let marker = confab.mark_read(&access, self.id?).await?;
        match marker.is_broadcast_to(&connection.uris) {
            true => Ok(SocketResponse::Nothing),
            false => marker.event().map(SocketResponse::Frame),
        }
    }
}
