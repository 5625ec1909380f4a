//! `send`: posts a message.

use serde::Serialize;

use super::{request::required_text, response::SocketResponse};
use crate::{
    Confab, Result,
    chats::{access::AlsoRead, idempotency::IdempotencyKey, message::NewMessage},
    date::Date,
    ids::{ChatUri, ConnectionId, EntryId},
    input::fields::Fields,
};

#[derive(Debug)]
pub(super) struct SendMessage {
    uri: String,
    key: Option<(String, IdempotencyKey)>,
    message: Result<NewMessage>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "sent")]
struct Sent<'a> {
    uri: &'a ChatUri,
    id: EntryId,
    create_date: Date,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl SendMessage {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        let uri = required_text(fields, "uri")?;
        let key = match fields.get("key") {
            Some(_) => {
                let key = required_text(fields, "key")?;
                Some((key.to_owned(), key.parse()?))
            }
            None => None,
        };
        Ok(Self { uri, key, message: NewMessage::read(fields) })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let (key, idempotency_key) = self.key.unzip();
        let access = confab
            .authorize_connection(connection_id, &self.uri, idempotency_key.as_ref().map(AlsoRead::Posted))
            .await?;
        let posted = confab.post_message(&access, self.message?, idempotency_key.as_ref()).await?;
        let (id, create_date) = (posted.id, posted.create_date);
        SocketResponse::frame(&Sent { uri: &access.chat()?.uri, id, create_date, key: key.as_deref() })
    }
}
