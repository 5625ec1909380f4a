//! What the actions have in common: their fields, the access of their connection, and their response.

use serde::Serialize;

use super::response::SocketResponse;
use crate::{
    Confab, Result,
    chats::access::{AlsoRead, ChatAccess},
    ids::ConnectionId,
    input::{fields::Fields, text::Text},
    json,
};

impl Confab {
    /// Checks that a connection and its token are still good.
    pub(super) async fn authenticate_connection(&self, connection_id: &ConnectionId) -> Result<()> {
        let identity = self.connection(connection_id).await?.identity;
        self.authenticate_as(identity).await.map(drop)
    }

    /// The access of a connection's user to a chat, of which they must be a member.
    pub(super) async fn authorize_connection(
        &self,
        connection_id: &ConnectionId,
        uri: &str,
        also: Option<AlsoRead<'_>>,
    ) -> Result<ChatAccess> {
        let identity = self.connection(connection_id).await?.identity;
        let access = self.authorize_as(identity, uri.parse().ok(), also).await?;
        access.require_member()?;
        Ok(access)
    }
}

impl SocketResponse {
    /// A frame with this value.
    pub(super) fn frame(value: &impl Serialize) -> Result<Self> {
        json::to_line(value).map(Self::Frame)
    }
}

/// A required field that is a text, as it was sent.
pub(super) fn required_text(fields: &Fields, name: &'static str) -> Result<String> {
    Text::required(name).strict().untrimmed().blank().require(fields)
}
