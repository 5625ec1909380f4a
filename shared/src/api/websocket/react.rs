//! `react`: adds an emoji to a message, or with `remove` removes it.

use serde_json::Value;

use super::{
    message::{MessageChange, done},
    request::required_text,
    response::SocketResponse,
};
use crate::{Confab, Result, chats::emoji::Emoji, error::Invalid, ids::ConnectionId, input::fields::Fields};

#[derive(Debug)]
pub(super) struct React {
    change: MessageChange,
    emoji: Result<Emoji>,
    remove: Result<bool>,
}

impl React {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        let remove = match fields.get("remove") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(remove)) => Ok(*remove),
            Some(_) => Err(Invalid::field("remove", "Must be a valid boolean.").into()),
        };
        let change = MessageChange::read(fields)?;
        Ok(Self { change, emoji: required_text(fields, "emoji").and_then(|emoji| emoji.parse()), remove })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let MessageChange { uri, id, key } = self.change;
        let access = confab.authorize_connection(connection_id, &uri, None).await?;
        let (id, emoji) = (id?, self.emoji?);
        match self.remove? {
            true => confab.remove_reaction(&access, id, &emoji).await?,
            false => confab.add_reaction(&access, id, &emoji).await?,
        }
        done("react", &access, id, key.as_deref())
    }
}
