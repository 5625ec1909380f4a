//! Leaving a chat, being removed from one, and handing one over.

use std::time::Duration;

use crate::{
    Confab, Error, Result,
    auth::user::id_in,
    chats::access::ChatAccess,
    chats::chat::{Chat, MembershipChange},
    chats::log::{Entry, EntryBody, EntryType},
    chats::members::Member,
    error::Invalid,
    ids::{ChatUri, UserId},
    input::fields::{Fields, Text},
};

/// Attempts of a member who leaves, if others come, leave or become the owner meanwhile; with this pause between them.
const ATTEMPTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(50);

const MAY_NOT_REMOVE: &str = "Only the owner of this chat can remove others.";

fn not_the_owner() -> Error {
    Error::Forbidden("Only the owner of this chat can hand it over.")
}

impl Confab {
    /// Takes a user out of a chat: the caller, or the one whom the caller, being its owner, names (see [`Confab::user_named`]). Once this
    /// returns, no further event of the chat is delivered to them. An owner who leaves hands the chat over to the member who has been in
    /// it longest; of a large chat, to the one of the first page of members.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Forbidden`] for removing others without being the owner; [`Error::NotFound`] where there is
    /// no such member; [`Error::Throttled`] as for posting.
    pub async fn leave(&self, access: &ChatAccess, username: &str) -> Result<()> {
        let chat = access.require_member()?;
        let caller = &access.caller.user;
        let leaver = if username == caller.username || id_in(username) == Some(caller.id) {
            caller.clone()
        } else if chat.owner_id == caller.id {
            self.user_named(username).await?.ok_or(Error::NotFound)?
        } else {
            return Err(Error::Forbidden(MAY_NOT_REMOVE));
        };
        let uri = &chat.uri;
        let entries = match leaver.id == caller.id {
            true => self.leave_oneself(chat, caller.id).await,
            false => self.remove(chat, caller.id, leaver.id).await,
        };
        match entries {
            Ok(entries) => {
                self.end_strangers_subscriptions(uri, leaver.id).await?;
                self.publish_entries(uri, &entries, [(leaver.id, leaver)].into()).await;
                Ok(())
            }
            Err(error @ Error::NotFound) => {
                // They had left when this was asked; the subscriptions may still be there if the first try was cut off.
                self.end_strangers_subscriptions(uri, leaver.id).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn remove(&self, chat: &Chat, owner_id: UserId, user_id: UserId) -> Result<Vec<Entry>> {
        let changes = |chat: &Chat, _: &[Entry]| {
            let still_owner = Member::still_owner(&chat.uri, owner_id)?;
            let [member, membership, count] = Member::remove(&chat.uri, user_id);
            let member = member.otherwise(|_| Error::NotFound);
            Ok(vec![still_owner.otherwise(|_| Error::Forbidden(MAY_NOT_REMOVE)), member, membership, count])
        };
        let left = [EntryBody::new(EntryType::Left, user_id)];
        for _ in 0..2 {
            let removed = self.append(chat, owner_id, &left, changes).await;
            if let Some(entries) = self.unless_uncounted(removed).await? {
                return Ok(entries);
            }
        }
        Err(Error::Busy(None))
    }

    async fn leave_oneself(&self, chat: &Chat, user_id: UserId) -> Result<Vec<Entry>> {
        let mut chat = chat.clone();
        let leaves_others = |chat: &Chat| chat.owner_id == user_id && chat.member_count > 1;
        for _ in 0..ATTEMPTS {
            let heir = if leaves_others(&chat) { self.heir(&chat.uri, user_id).await? } else { None };
            let owner = heir.map(|heir| EntryBody::new(EntryType::Owner, heir));
            let bodies: Vec<EntryBody> = owner.into_iter().chain([EntryBody::new(EntryType::Left, user_id)]).collect();
            let changes = |chat: &Chat, _: &[Entry]| {
                if leaves_others(chat) != heir.is_some() {
                    return Err(Error::Busy(None));
                }
                let [member, membership, count] = Member::remove(&chat.uri, user_id);
                let mut writes = vec![member.otherwise(|_| Error::not_a_member()), membership, count];
                if let Some(heir) = heir {
                    writes.push(Member::promote(&chat.uri, heir)?.otherwise(|_| Error::Busy(None)));
                }
                Ok(writes)
            };
            match self.unless_uncounted(self.append(&chat, user_id, &bodies, changes).await).await {
                // Somebody has come in, has left or has become the owner since the heir was chosen.
                Ok(None) | Err(Error::Busy(None)) => {}
                Ok(Some(entries)) => return Ok(entries),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(PAUSE).await;
            chat = self.chat(&chat.uri).await?;
        }
        Err(Error::Busy(None))
    }

    /// The member who has been in a chat longest, besides its owner; in a large chat, of the members on the first page.
    async fn heir(&self, uri: &ChatUri, owner_id: UserId) -> Result<Option<UserId>> {
        let (members, _) = self.member_page(uri, None).await?;
        let others = members.into_iter().filter(|member| member.user_id != owner_id);
        Ok(others.min_by_key(|member| member.joined_id).map(|member| member.user_id))
    }

    /// Makes another member, named by the field `owner`, the chat's owner. An owner stays the owner, no matter who asks: it may be the
    /// former owner, who did not get an answer.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Forbidden`] for anybody but the owner; [`Error::Invalid`] where there is no such member.
    pub async fn hand_over(&self, access: &ChatAccess, fields: &Fields) -> Result<MembershipChange> {
        let chat = access.require_member()?;
        let (uri, caller) = (&chat.uri, &access.caller.user);
        let mut invalid = Invalid::default();
        let name = Text::required("owner").read(fields, &mut invalid).unwrap_or_default();
        invalid.unless_empty(())?;
        let nobody = Invalid::field("owner", format!("There is no member \"{name}\"."));
        let heir = self.user_named(&name).await?;
        if chat.owner_id != caller.id && heir.as_ref().is_none_or(|heir| heir.id != chat.owner_id) {
            return Err(not_the_owner());
        }
        let heir = heir.ok_or_else(|| nobody.clone())?;
        if heir.id != chat.owner_id {
            let body = EntryBody::new(EntryType::Owner, heir.id);
            let changes = |_: &Chat, _: &[Entry]| {
                let (demote, nobody) = (Member::demote(uri, caller.id)?, nobody.clone());
                let promote = Member::promote(uri, heir.id)?.otherwise(move |_| nobody.clone().into());
                Ok(vec![demote.otherwise(|_| not_the_owner()), promote])
            };
            let entries = self.append(chat, caller.id, &[body], changes).await?;
            self.publish_entries(uri, &entries, [(heir.id, heir.clone())].into()).await;
        }
        let message = format!("{} owns the chat", heir.username);
        self.joined(chat, chat.member_count, &[heir.id], message).await
    }
}
