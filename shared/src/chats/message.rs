//! The text of a message, and a message to post.

use sha2::{Digest, Sha256};

use super::entry::{EntryBody, EntryType};
use crate::{
    Result,
    ids::{EntryId, UserId},
    input::{fields::Fields, text::Text},
};

/// The longest message, in characters (Unicode scalar values).
const MESSAGE_CHARACTERS: usize = 2000;

/// The text of a message: 1 to 2,000 characters, none of them NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageText(pub(crate) String);

impl MessageText {
    /// Reads the field `message`.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`].
    pub fn read(fields: &Fields) -> Result<Self> {
        let text = Text::required("message").strict().untrimmed().without_nul().at_most(MESSAGE_CHARACTERS);
        text.require(fields).map(Self)
    }
}

/// A message to post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    pub(crate) text: MessageText,
    /// The message of the same chat that it replies to.
    pub(crate) reply_to: Option<EntryId>,
}

impl NewMessage {
    /// Reads the fields `message` and `reply_to`.
    ///
    /// # Errors
    /// As [`MessageText::read`] and [`Fields::entry_id`].
    pub fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { text: MessageText::read(fields)?, reply_to: fields.entry_id("reply_to")? })
    }

    /// Requests with the same idempotency key are the same if their fingerprints are. The salt is stored with the
    /// message and deleted with it, so that the text of a deleted message cannot be found by trying.
    pub(crate) fn fingerprint(&self, salt: &str) -> String {
        let mut digest = Sha256::new_with_prefix(salt).chain_update(&self.text.0);
        if let Some(id) = self.reply_to {
            // No message has a NUL, so nothing else has the same fingerprint.
            digest.update(format!("\0{id}"));
        }
        hex::encode(digest.finalize())
    }

    pub(crate) fn body(&self, user_id: UserId, salt: Option<String>) -> EntryBody {
        let Self { text, reply_to } = self.clone();
        EntryBody { message: Some(text.0), reply_to, salt, ..EntryBody::new(EntryType::Message, user_id) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use serde_json::{Value, json};

    fn read(value: Value) -> Result<MessageText> {
        MessageText::read(&Fields::from_value(json!({ "message": value })).unwrap())
    }

    #[test]
    fn bounds_are_characters() {
        assert!(read(json!("é".repeat(2000))).is_ok());
        for wrong in
            [json!("é".repeat(2001)), json!(""), json!("a\0b"), json!(5), json!(null), json!(["a"]), json!(true)]
        {
            assert!(matches!(read(wrong.clone()), Err(Error::Invalid(_))), "{wrong}");
        }
        assert!(read(json!("  ")).is_ok(), "the original keeps white space");
    }
}
