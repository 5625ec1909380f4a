//! Read markers: how far each member has read. A marker moves forward only. The table's stream leads `reconcile` to
//! broadcast it.

use serde::Serialize;

use super::{access::ChatAccess, ephemeral::EphemeralEvent, member::Member};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    auth::user::User,
    aws::table::{Applied, read},
    error::Invalid,
    ids::{ChatUri, EntryId},
    json,
};

/// A member's read marker.
#[derive(Clone, Debug, Serialize)]
pub struct ReadMarker {
    #[serde(rename = "type")]
    kind: &'static str,
    uri: ChatUri,
    user: User,
    read_id: EntryId,
}

impl ReadMarker {
    /// The marker as an event on one line.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn event(&self) -> Result<String> {
        json::to_line(&EphemeralEvent::Read { uri: &self.uri, read: &[(self.user.id, self.read_id)].into() })
    }
}

impl Confab {
    /// Moves the caller's read marker, which `access` has to include ([`AlsoRead::Marker`]), forward to the entry `id`. A marker that is there already,
    /// or further, stays where it is; the response says where.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::Invalid`] where `id` is not an entry of this chat;
    /// [`Error::Throttled`].
    pub async fn mark_read(&self, access: &ChatAccess, id: EntryId) -> Result<ReadMarker> {
        let chat = access.require_member()?;
        let user = access.caller.public();
        let marker = |read_id| ReadMarker { kind: "read", uri: chat.uri.clone(), user: user.clone(), read_id };
        let read_id = access.member.as_ref().ok_or_else(Error::not_a_member)?.read_id;
        if id <= read_id {
            return Ok(marker(read_id));
        }
        let Some(chat) = self.chat_with(chat, id).await? else {
            return Err(Invalid::field("id", "There is no such entry in this chat.").into());
        };
        self.throttle(Rate::Markers, user.id, 1).await?;
        match self.table().attempt(Member::move_marker(&chat, access.membership()?, user.id, id)).await? {
            Applied::Done(_) => {}
            Applied::ConditionFailed(Some(item)) => return Ok(marker(read::<Member>(item)?.read_id)),
            Applied::ConditionFailed(None) => return Err(Error::not_a_member()),
        }
        Ok(marker(id))
    }
}
