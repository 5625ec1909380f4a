//! Leaving a chat, being removed from one, and handing one over.

use crate::{
    Confab, Error, Result,
    error::Invalid,
    fields::{Fields, Text},
    log::{Appended, EntryType, Happening},
    session::{Joined, Member, in_order},
    table::Write,
    user::id_in,
    visit::Visit,
};

const MAY_NOT_REMOVE: &str = "Only the owner of this chat can remove others.";

fn not_the_owner() -> Error {
    Error::Forbidden("Only the owner of this chat can hand it over.")
}

impl Confab {
    /// Takes a user out of a chat: the caller, or whomever the caller, being its owner, names (see [`Confab::user_named`]). From the answer on nothing more of
    /// the chat is delivered to them.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::Forbidden`] for removing others without being the owner, and for the owner while others are
    /// in; [`Error::NotFound`] where there is no such member.
    pub async fn leave(&self, visit: &Visit, username: &str) -> Result<()> {
        let session = visit.as_member()?;
        let caller = &visit.caller.user;
        let is_owner = session.owner_id == caller.id;
        let leaver = if username == caller.username || id_in(username) == Some(caller.id) {
            caller.clone()
        } else if is_owner {
            self.user_named(username).await?.ok_or(Error::NotFound)?
        } else {
            return Err(Error::Forbidden(MAY_NOT_REMOVE));
        };
        let (uri, user_id) = (&session.uri, leaver.id);
        let happening = Happening::new(EntryType::Left, user_id);
        let changes = |_: &[_]| {
            let mut writes = vec![
                Write::delete(Member::key(uri, user_id)).if_present(),
                Write::delete(Member::membership_key(uri, user_id)),
            ];
            if caller.id != user_id {
                writes.push(Member::still_owner(uri, caller.id)?);
            }
            Ok(writes)
        };
        match self.append(uri, session.last_id, &[happening], changes).await? {
            Appended::Written(entries) => {
                self.end_strangers_subscriptions(uri, user_id).await?;
                self.publish_entries(uri, &entries, [(user_id, leaver)].into()).await;
                Ok(())
            }
            // The caller has left meanwhile, or had when this was asked: the subscriptions may still be there if the first try was
            // cut off.
            Appended::Refused(0, _) if caller.id != user_id => {
                self.end_strangers_subscriptions(uri, user_id).await?;
                Err(Error::NotFound)
            }
            Appended::Refused(2, _) => Err(Error::Forbidden(MAY_NOT_REMOVE)),
            Appended::Refused(..) => Err(Error::not_a_member()),
        }
    }

    /// Makes another member, whom the field `owner` names, the chat's owner. Whoever is the owner already stays so, whoever asks: it
    /// may be the former owner who did not get an answer.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::Forbidden`] for anybody but the owner; [`Error::Invalid`] where there is no such member.
    pub async fn hand_over(&self, visit: &Visit, fields: &Fields) -> Result<Joined> {
        let session = visit.as_member()?;
        let (uri, caller) = (&session.uri, &visit.caller.user);
        let mut invalid = Invalid::default();
        let name = Text::required("owner").read(fields, &mut invalid).unwrap_or_default();
        invalid.unless_empty(())?;
        let nobody = || Error::from(Invalid::field("owner", format!("There is no member \"{name}\".")));
        let heir = self.user_named(&name).await?;
        if session.owner_id != caller.id && heir.as_ref().is_none_or(|heir| heir.id != session.owner_id) {
            return Err(not_the_owner());
        }
        let heir = heir.ok_or_else(nobody)?;
        if heir.id != session.owner_id {
            let happening = Happening::new(EntryType::Owner, heir.id);
            let changes = |_: &[_]| Ok(Member::hand_over(uri, caller.id, heir.id)?.into());
            match self.append(uri, session.last_id, &[happening], changes).await? {
                Appended::Written(entries) => {
                    self.publish_entries(uri, &entries, [(heir.id, heir.clone())].into()).await;
                }
                Appended::Refused(0, _) => return Err(not_the_owner()),
                Appended::Refused(..) => return Err(nobody()),
            }
        }
        let ids = self.member_ids(uri).await?;
        Ok(Joined {
            status: "SUCCESS",
            members: in_order(&ids, &self.users(ids.iter().copied()).await?),
            message: format!("{} owns the chat", heir.username),
            user: heir.clone(),
            users: vec![heir],
        })
    }
}
