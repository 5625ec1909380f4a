//! Editing a message.

use std::ops::ControlFlow;

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType, if_message},
    member::Membership,
    message::MessageText,
    message_change::{SHOWS_NO_LATER_CHANGE, change_attempts},
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
        let change = |chat: &Chat, entry: &Entry| {
            let set = "SET message = :text, edit_date = :date, changed_id = :change";
            let more = format!("AND user_id = :user AND message <> :text AND {SHOWS_NO_LATER_CHANGE}");
            let (edit, new) = (Write::update(Entry::key(&chat.uri, id), set), text.0.clone());
            let edit = if_message(edit, &more)?
                .number(":user", user_id)
                .text(":text", &text.0)
                .number(":change", entry.id)
                .serialized(":date", &entry.create_date)?
                .otherwise(move |item| not_edited(item, user_id, &new));
            Ok(vec![edit, Membership::require(&chat.uri, user_id)])
        };
        let mut attempts = change_attempts();
        loop {
            let ended = self.change_message(access, &attempts, &edited, change).await;
            if let ControlFlow::Break(ended) = attempts.next(ended).await {
                return ended;
            }
        }
    }
}

/// Why a message was not edited.
fn not_edited(item: Option<Item>, user_id: UserId, text: &str) -> Error {
    match Entry::message_of(item) {
        Ok(message) if !message.is_message() => Error::NotFound,
        Ok(message) if message.body.user_id != user_id => Error::Forbidden("Only its author can edit a message."),
        Ok(message) if message.body.message.as_deref() == Some(text) => Error::AlreadyDone,
        Ok(_) => Error::Changed,
        Err(error) => error,
    }
}
