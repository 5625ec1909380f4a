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
    auth::user::User,
    aws::table::{Item, Write},
    ids::{ChatUri, EntryId, UserId},
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
            let delete = deletion(&chat.uri, id, entry, (!is_owner).then_some(user_id))?;
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

    /// Deletes a message of a user whose account has been deleted, who need not be a member any more; idempotent.
    ///
    /// # Errors
    /// [`Error::NotFound`] without a chat or a message; [`Error::Busy`].
    pub(crate) async fn erase_message(&self, uri: &ChatUri, id: EntryId, author: UserId) -> Result<()> {
        let mut attempts = change_attempts();
        loop {
            let ended = self.erase_message_once(uri, id, author).await;
            if let ControlFlow::Break(ended) = attempts.next(ended).await {
                return ended;
            }
        }
    }

    async fn erase_message_once(&self, uri: &ChatUri, id: EntryId, author: UserId) -> Result<()> {
        let chat = self.chat(uri).await?;
        let deleted = EntryBody::about(id, EntryType::Deleted, author);
        let change = |chat: &Chat, entry: &Entry| Ok(vec![deletion(&chat.uri, id, entry, Some(author))?]);
        let entry = self.append(&chat, None, &deleted, change).await?;
        self.publish_entries(uri, &[entry], [(author, User::deleted(author))].into()).await;
        Ok(())
    }
}

/// Deletes the message `id`, with the entry about it; only one of `author` where that is given.
fn deletion(uri: &ChatUri, id: EntryId, entry: &Entry, author: Option<UserId>) -> Result<Write> {
    let set =
        "SET delete_date = :date, changed_id = :change REMOVE message, edit_date, salt, reaction_counts, reactions";
    let own = if author.is_some() { "AND user_id = :user" } else { "" };
    let more = format!("{own} AND {SHOWS_NO_LATER_CHANGE}");
    let delete = if_message(Write::update(Entry::key(uri, id), set), &more)?
        .number(":change", entry.id)
        .serialized(":date", &entry.create_date)?
        .otherwise(move |item| not_deleted(item, author));
    Ok(match author {
        Some(author) => delete.number(":user", author),
        None => delete,
    })
}

/// Why a message was not deleted.
fn not_deleted(item: Option<Item>, author: Option<UserId>) -> Error {
    match Entry::message_of(item) {
        Ok(message) if author.is_some_and(|author| message.body.user_id != author) => {
            Error::Forbidden("Only its author and the owner of the chat can delete a message.")
        }
        Ok(message) if message.delete_date.is_some() => Error::AlreadyDone,
        Ok(_) => Error::Changed,
        Err(error) => error,
    }
}
