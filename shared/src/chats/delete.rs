//! Deleting a message. The text is deleted from the table; that there was a message remains.

use std::ops::ControlFlow;

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType, if_message},
    member::{Member, Membership},
    message_change::{SHOWS_NO_LATER_CHANGE, change_attempts},
};
use crate::{
    Confab, Error, Result,
    aws::table::{Item, Write},
    ids::{EntryId, UserId},
};

impl Confab {
    /// Deletes a message: the caller's own or, for the chat's owner, any; idempotent.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] for an unknown message; [`Error::Forbidden`] for another
    /// author's; [`Error::Throttled`].
    pub async fn delete_message(&self, access: &ChatAccess, id: EntryId) -> Result<()> {
        let user_id = access.caller.user.id;
        let deleted = EntryBody::about(id, EntryType::Deleted, user_id);
        let change = |chat: &Chat, entry: &Entry| {
            let is_owner = chat.owner_id == user_id;
            let set = "SET delete_date = :date, changed_id = :change REMOVE message, edit_date, salt, reaction_counts, reactions";
            let own = if is_owner { "" } else { "AND user_id = :user" };
            let more = format!("{own} AND {SHOWS_NO_LATER_CHANGE}");
            let mut delete = if_message(Write::update(Entry::key(&chat.uri, id), set), &more)?
                .number(":change", entry.id)
                .serialized(":date", &entry.create_date)?
                .otherwise(move |item| not_deleted(item, user_id, is_owner));
            if !is_owner {
                delete = delete.number(":user", user_id);
            }
            let allowed = match is_owner {
                // The chat has been handed over since. It may still be the caller's own message, so the caller's next
                // attempt will tell.
                true => Member::require_owner(&chat.uri, user_id)?.otherwise(|_| Error::Busy(None)),
                false => Membership::require(&chat.uri, user_id),
            };
            Ok(vec![delete, allowed])
        };
        let mut attempts = change_attempts();
        loop {
            let ended = self.change_message(access, &attempts, &deleted, change).await;
            if let ControlFlow::Break(ended) = attempts.next(ended).await {
                return ended;
            }
        }
    }
}

/// Why a message was not deleted.
fn not_deleted(item: Option<Item>, user_id: UserId, is_owner: bool) -> Error {
    match Entry::message_of(item) {
        Ok(message) if !is_owner && message.body.user_id != user_id => {
            Error::Forbidden("Only its author and the owner of the chat can delete a message.")
        }
        Ok(message) if message.delete_date.is_some() => Error::AlreadyDone,
        Ok(_) => Error::Changed,
        Err(error) => error,
    }
}
