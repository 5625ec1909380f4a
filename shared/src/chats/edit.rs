//! Editing and deleting messages: the message is changed in the one transaction that writes down that it was.

use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write, read},
    chats::access::ChatAccess,
    chats::chat::Chat,
    chats::log::{Entry, EntryBody, EntryType, Reactions, entry_key},
    chats::members::Member,
    chats::post::{MessageText, if_message},
    ids::EntryId,
};

impl Confab {
    /// Has a message of the caller's say something else.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] where there is no such message (any more), [`Error::Forbidden`] for somebody
    /// else's; [`Error::Throttled`] as for posting.
    pub async fn edit_message(&self, access: &ChatAccess, id: EntryId, text: &MessageText) -> Result<()> {
        let chat = access.require_member()?;
        let (uri, user_id) = (&chat.uri, access.caller.user.id);
        let chat = self.chat_with(chat, id).await?.ok_or(Error::NotFound)?;
        let body = EntryBody { of: Some(id), ..EntryBody::new(EntryType::Edited, user_id) };
        let changes = |_: &Chat, entries: &[Entry]| {
            let edit =
                Write::update(entry_key(uri, id), "SET message = :text, edit_date = :date, changed_id = :change");
            let edit = if_message(edit, "AND user_id = :user AND message <> :text")?
                .number(":user", user_id)
                .text(":text", &text.0)
                .number(":change", entries[0].id)
                .serialized(":date", &entries[0].create_date)?;
            let edit = edit.otherwise(move |item| match message(item) {
                Ok(Some(message)) if message.delete_date.is_some() => Error::NotFound,
                Ok(Some(message)) if message.body.user_id == user_id => Error::AlreadyDone,
                Ok(Some(_)) => Error::Forbidden("Only its author can edit a message."),
                Ok(None) => Error::NotFound,
                Err(error) => error,
            });
            Ok(vec![edit, Member::still(uri, user_id)])
        };
        match self.append(&chat, user_id, &[body], changes).await {
            Ok(entries) => {
                self.publish_entries(uri, &entries, access.caller.known()).await;
                Ok(())
            }
            Err(Error::AlreadyDone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a message back, the caller's own or, for the chat's owner, anybody's. What it said is gone from the table then;
    /// that there was a message remains.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] where there is no such message, [`Error::Forbidden`] for somebody else's.
    pub async fn delete_message(&self, access: &ChatAccess, id: EntryId) -> Result<()> {
        let chat = access.require_member()?;
        let (uri, user_id) = (&chat.uri, access.caller.user.id);
        let chat = self.chat_with(chat, id).await?.ok_or(Error::NotFound)?;
        let is_owner = chat.owner_id == user_id;
        let body = EntryBody { of: Some(id), ..EntryBody::new(EntryType::Deleted, user_id) };
        let changes = |_: &Chat, entries: &[Entry]| {
            let deletion =
                "SET delete_date = :date, reactions = :none, changed_id = :change REMOVE message, edit_date, salt";
            let own = if is_owner { "" } else { "AND user_id = :user" };
            let mut delete = if_message(Write::update(entry_key(uri, id), deletion), own)?
                .serialized(":none", &Reactions::new())?
                .number(":change", entries[0].id)
                .serialized(":date", &entries[0].create_date)?;
            if !is_owner {
                delete = delete.number(":user", user_id);
            }
            let delete = delete.otherwise(move |item| match message(item) {
                Ok(Some(message)) if is_owner || message.body.user_id == user_id => Error::AlreadyDone,
                Ok(Some(_)) => Error::Forbidden("Only its author and the owner of the chat can delete a message."),
                Ok(None) => Error::NotFound,
                Err(error) => error,
            });
            let still = match is_owner {
                // The chat was handed over meanwhile. It may still be the caller's own message, so the next try will tell.
                true => Member::still_owner(uri, user_id)?.otherwise(|_| Error::Busy(None)),
                false => Member::still(uri, user_id),
            };
            Ok(vec![delete, still])
        };
        match self.append(&chat, user_id, &[body], changes).await {
            Ok(entries) => {
                self.publish_entries(uri, &entries, access.caller.known()).await;
                Ok(())
            }
            Err(Error::AlreadyDone) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The message that an item is, if it is one.
pub(crate) fn message(item: Option<&Item>) -> Result<Option<Entry>> {
    let entry: Option<Entry> = item.map(read).transpose()?;
    Ok(entry.filter(|entry| entry.body.kind == EntryType::Message))
}
