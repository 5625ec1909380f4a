//! Leaving a chat, and removing others from one.

use std::time::Duration;

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType},
    member::{Member, Membership},
};
use crate::{
    Confab, Error, Result,
    auth::user::{User, id_in},
    aws::table::Write,
    ids::{ChatUri, UserId},
};

/// Attempts of a member to leave while others join, leave or become the owner; with this pause between them.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

const MAY_NOT_REMOVE: &str = "Only the owner of this chat can remove others.";

impl Confab {
    /// Removes a user from a chat: the caller, or the one whom the caller, being its owner, names
    /// ([`Confab::user_named`]). Once this returns they receive no further events. An owner who leaves hands the chat
    /// over to the longest-standing member; in a large chat, of the first page of members.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Forbidden`] for removing others without being the owner;
    /// [`Error::NotFound`] for who is not a member; [`Error::Throttled`].
    pub async fn leave(&self, access: &ChatAccess, username: &str) -> Result<()> {
        let chat = access.require_member()?;
        let caller = access.caller.user.id;
        let leaver = self.leaver(chat, &access.caller.user, username).await?;
        let entries = match leaver.id == caller {
            true => self.leave_oneself(chat, caller, Some(caller)).await,
            false => self.remove(chat, caller, leaver.id).await,
        };
        match entries {
            Ok(entries) => {
                self.evict(&chat.uri, leaver.id).await?;
                self.publish_entries(&chat.uri, &entries, [(leaver.id, leaver)].into()).await;
                Ok(())
            }
            Err(error @ Error::NotFound) => {
                // They had left already; the subscriptions may still be there if an earlier attempt was cut off.
                self.evict(&chat.uri, leaver.id).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a user whose account has been deleted out of a chat, as if they had left; idempotent.
    ///
    /// # Errors
    /// As [`Confab::leave`].
    pub(crate) async fn withdraw(&self, uri: &ChatUri, user_id: UserId) -> Result<()> {
        let left = match self.chat(uri).await {
            Ok(chat) => self.leave_oneself(&chat, user_id, None).await,
            Err(error) => Err(error),
        };
        match left {
            Ok(entries) => {
                self.evict(uri, user_id).await?;
                self.publish_entries(uri, &entries, [(user_id, User::deleted(user_id))].into()).await;
                Ok(())
            }
            // A former attempt was cut off, or the chat has been removed.
            Err(Error::Forbidden(_) | Error::NotFound) => {
                self.table().apply(Write::delete(Membership::key(uri, user_id))).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    async fn leaver(&self, chat: &Chat, caller: &User, username: &str) -> Result<User> {
        if username == caller.username || id_in(username) == Some(caller.id) {
            Ok(caller.clone())
        } else if chat.owner_id == caller.id {
            self.user_named(username).await?.ok_or(Error::NotFound)
        } else {
            Err(Error::Forbidden(MAY_NOT_REMOVE))
        }
    }

    async fn remove(&self, chat: &Chat, owner_id: UserId, user_id: UserId) -> Result<Vec<Entry>> {
        let changes = |chat: &Chat, _: &[Entry]| {
            let owner = Member::require_owner(&chat.uri, owner_id)?.otherwise(|_| Error::Forbidden(MAY_NOT_REMOVE));
            let mut writes = vec![owner];
            writes.extend(Member::remove(&chat.uri, user_id, || Error::NotFound)?);
            Ok(writes)
        };
        let left = [EntryBody::new(EntryType::Left, user_id)];
        for _ in 0..2 {
            let removed = self.append_about_members(chat, owner_id, &left, changes).await;
            if let Some(entries) = self.unless_uncounted(removed).await? {
                return Ok(entries);
            }
        }
        Err(Error::Busy(None))
    }

    /// Takes a user out of a chat, at the cost of the rate limit of `actor`.
    async fn leave_oneself(&self, chat: &Chat, user_id: UserId, actor: Option<UserId>) -> Result<Vec<Entry>> {
        let mut chat = chat.clone();
        let needs_heir = |chat: &Chat| chat.owner_id == user_id && chat.member_count > 1;
        for _ in 0..ATTEMPTS {
            let heir = if needs_heir(&chat) { self.heir(&chat.uri, user_id).await? } else { None };
            let owner = heir.map(|heir| EntryBody::new(EntryType::Owner, heir));
            let bodies: Vec<EntryBody> = owner.into_iter().chain([EntryBody::new(EntryType::Left, user_id)]).collect();
            let changes = |chat: &Chat, _: &[Entry]| {
                if needs_heir(chat) != heir.is_some() {
                    return Err(Error::Changed);
                }
                let mut writes = Member::remove(&chat.uri, user_id, Error::not_a_member)?;
                if let Some(heir) = heir {
                    writes.push(Member::promote(&chat.uri, heir)?.otherwise(|_| Error::Changed));
                }
                Ok(writes)
            };
            match self.unless_uncounted(self.append_about_members(&chat, actor, &bodies, changes).await).await {
                // Another user has joined, has left or has become the owner since the heir was chosen.
                Ok(None) | Err(Error::Changed) => {}
                Ok(Some(entries)) => return Ok(entries),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
            chat = self.chat(&chat.uri).await?;
        }
        Err(Error::Busy(None))
    }

    /// The longest-standing member besides the owner; in a large chat, of the first page of members.
    async fn heir(&self, uri: &ChatUri, owner_id: UserId) -> Result<Option<UserId>> {
        let (members, _) = self.member_page(uri, None).await?;
        let others = members.into_iter().filter(|member| member.user_id != owner_id);
        Ok(others.min_by_key(|member| member.joined_id).map(|member| member.user_id))
    }
}
