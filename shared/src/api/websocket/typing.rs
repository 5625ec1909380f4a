//! `typing`: notifies the other members that the caller is typing. Only errors are answered.

use super::{request::required_text, response::SocketResponse};
use crate::{Confab, Result, chats::ephemeral::EphemeralEvent, date::Date, ids::ConnectionId, input::fields::Fields};

/// The rate limit: the exchange drops repeats of a deduplication id, and the id stays the same for this many seconds.
const TYPING_SECONDS: i64 = 6;

#[derive(Debug)]
pub(super) struct Typing {
    uri: String,
}

impl Typing {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { uri: required_text(fields, "uri")? })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let access = confab.authorize_connection(connection_id, &self.uri, None).await?;
        let (uri, user) = (&access.chat()?.uri, access.caller.public());
        let moment = Date::now().epoch_seconds() / TYPING_SECONDS;
        let event = EphemeralEvent::Typing { uri, user: &user };
        confab.broadcast(uri, format!("{uri}-typing-{}-{moment}", user.id), &event).await;
        Ok(SocketResponse::Nothing)
    }
}
