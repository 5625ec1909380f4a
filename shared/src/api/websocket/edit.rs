//! `edit`: replaces the text of the caller's own message.

use super::{
    message::{MessageChange, done},
    response::SocketResponse,
};
use crate::{Confab, Result, chats::message::MessageText, ids::ConnectionId, input::fields::Fields};

#[derive(Debug)]
pub(super) struct Edit {
    change: MessageChange,
    text: Result<MessageText>,
}

impl Edit {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { change: MessageChange::read(fields)?, text: MessageText::read(fields) })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let MessageChange { uri, id, key } = self.change;
        let access = confab.authorize_connection(connection_id, &uri, None).await?;
        let id = id?;
        confab.edit_message(&access, id, &self.text?).await?;
        done("edit", &access, id, key.as_deref())
    }
}
