//! Leaving a chat, and being removed from one.

use crate::{
    Confab, Error, Result,
    log::{Appended, EntryType, Happening},
    session::Member,
    table::Write,
    user::{User, Username},
    visit::Visit,
};

const STRANGER: &str = "You are not a member of this chat.";

impl Confab {
    /// Takes a user out of a chat: the caller, or whomever the caller, being its owner, names. From the answer on nothing more of
    /// the chat is delivered to them.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::Forbidden`] for removing others without being the owner, and for the owner while others are
    /// in; [`Error::NotFound`] where there is no such member.
    pub async fn leave(&self, visit: &Visit, username: &str) -> Result<()> {
        let session = visit.as_member()?;
        let caller = &visit.caller.user;
        let is_owner = session.owner_id == caller.id;
        let leaver = if username == caller.username {
            if is_owner && self.member_ids(&session.uri).await?.len() > 1 {
                return Err(Error::Forbidden("The owner cannot leave while others are in this chat."));
            }
            caller.clone()
        } else if is_owner {
            self.user_by_username(username).await?.ok_or(Error::NotFound)?
        } else {
            return Err(Error::Forbidden("Only the owner of this chat can remove others."));
        };
        let (uri, user_id) = (&session.uri, leaver.id);
        let happening = Happening { kind: EntryType::Left, user_id, message: None };
        let changes = |_: &[_]| {
            let mut writes = vec![
                Write::delete(Member::key(uri, user_id)).if_present(),
                Write::delete(Member::membership_key(uri, user_id)),
            ];
            if caller.id != user_id {
                writes.push(Member::still(uri, caller.id));
            }
            Ok(writes)
        };
        match self.append(uri, session.last_id, &[happening], changes).await? {
            Appended::Written(entries) => {
                self.end_strangers_subscriptions(uri, user_id).await?;
                self.publish_entries(uri, &entries, &[(user_id, leaver)].into()).await;
                Ok(())
            }
            // The caller has left meanwhile, or had when this was asked: the subscriptions may still be there if the first try was
            // cut off.
            Appended::Refused(0, _) if caller.id != user_id => {
                self.end_strangers_subscriptions(uri, user_id).await?;
                Err(Error::NotFound)
            }
            Appended::Refused(..) => Err(Error::Forbidden(STRANGER)),
        }
    }

    async fn user_by_username(&self, username: &str) -> Result<Option<User>> {
        if !Username::is_possible(username) {
            return Ok(None);
        }
        Ok(self.profile_by_username(username).await?.map(|profile| profile.user))
    }
}
