//! `read`: moves the caller's read marker forward. The answer looks like the event that the chat gets later.

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
        let access = confab.authorize_connection(connection_id, &self.uri, Some(AlsoRead::Marker)).await?;
        confab.mark_read(&access, self.id?).await?.event().map(SocketResponse::Frame)
    }
}
