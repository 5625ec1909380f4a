//! Handing a chat over to another owner.

use super::{
    access::ChatAccess,
    chat::Chat,
    entry::{Entry, EntryBody, EntryType},
    join::MembershipChange,
    member::Member,
};
use crate::{
    Confab, Error, Result,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Makes another member, named by the field `owner`, the chat's owner. Naming the current owner succeeds for every
    /// member, since the caller may be the former owner, who did not get the response.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Forbidden`] for callers other than the owner; [`Error::Invalid`] for
    /// who is not a member; [`Error::Throttled`].
    pub async fn hand_over(&self, access: &ChatAccess, fields: &Fields) -> Result<MembershipChange> {
        let chat = access.require_member()?;
        let caller = &access.caller.user;
        let name = Text::required("owner").require(fields)?;
        let unknown = Invalid::field("owner", format!("There is no member \"{name}\"."));
        let heir = self.user_named(&name).await?;
        if chat.owner_id != caller.id && heir.as_ref().is_none_or(|heir| heir.id != chat.owner_id) {
            return Err(not_the_owner());
        }
        let heir = heir.ok_or_else(|| unknown.clone())?;
        if heir.id != chat.owner_id {
            let body = EntryBody::new(EntryType::Owner, heir.id);
            let changes = |_: &Chat, _: &[Entry]| {
                let (demote, unknown) = (Member::demote(&chat.uri, caller.id)?, unknown.clone());
                let promote = Member::promote(&chat.uri, heir.id)?.otherwise(move |_| unknown.clone().into());
                Ok(vec![demote.otherwise(|_| not_the_owner()), promote])
            };
            let entries = self.append_about_members(chat, caller.id, &[body], changes).await?;
            self.publish_entries(&chat.uri, &entries, [(heir.id, heir.clone())].into()).await;
        }
        let message = format!("{} owns the chat", heir.username);
        self.membership_change(chat, chat.member_count, &[heir.id], message).await
    }
}

fn not_the_owner() -> Error {
    Error::Forbidden("Only the owner of this chat can hand it over.")
}
