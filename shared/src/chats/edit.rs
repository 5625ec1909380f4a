//! Editing a message, in one transaction with the entry about it.

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType, if_message},
    member::Member,
    message::MessageText,
};
use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write},
    ids::{EntryId, UserId},
};

impl Confab {
    /// Replaces the text of one of the caller's messages; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown or deleted message; [`Error::Forbidden`]
    /// for another author's; [`Error::Throttled`].
    pub async fn edit_message(&self, access: &ChatAccess, id: EntryId, text: &MessageText) -> Result<()> {
        let user_id = access.caller.user.id;
        let edited = EntryBody::about(id, EntryType::Edited, user_id);
        self.change_message(access, edited, |chat, entry| {
            let set = "SET message = :text, edit_date = :date, changed_id = :change";
            let edit =
                if_message(Write::update(Entry::key(&chat.uri, id), set), "AND user_id = :user AND message <> :text")?;
            let edit = edit
                .number(":user", user_id)
                .text(":text", &text.0)
                .number(":change", entry.id)
                .serialized(":date", &entry.create_date)?
                .otherwise(move |item| not_edited(item, user_id));
            Ok(vec![edit, Member::require(&chat.uri, user_id)])
        })
        .await
    }

    /// Appends an entry about a message together with the writes that change the message, and publishes it.
    /// [`Error::AlreadyDone`] counts as success.
    pub(super) async fn change_message(
        &self,
        access: &ChatAccess,
        body: EntryBody,
        change: impl Fn(&Chat, &Entry) -> Result<Vec<Write>>,
    ) -> Result<()> {
        let id = body.of.unwrap_or_default();
        let chat = self.chat_with(access.require_member()?, id).await?.ok_or(Error::NotFound)?;
        let changes = |chat: &Chat, entries: &[Entry]| change(chat, &entries[0]);
        match self.append(&chat, access.caller.user.id, &[body], changes).await {
            Ok(entries) => {
                self.publish_entries(&chat.uri, &entries, access.caller.known()).await;
                Ok(())
            }
            Err(Error::AlreadyDone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Why a message was not edited.
fn not_edited(item: Option<Item>, user_id: UserId) -> Error {
    match Entry::message_of(item) {
        Ok(message) if !message.is_message() => Error::NotFound,
        Ok(message) if message.body.user_id == user_id => Error::AlreadyDone,
        Ok(_) => Error::Forbidden("Only its author can edit a message."),
        Err(error) => error,
    }
}
