//! Read markers: how far each member has read, which moves forward only and is told to the room, unless that is large.

use serde::Serialize;
use serde_json::json;

use crate::{
    Confab, Error, Result,
    error::Invalid,
    fields::Fields,
    log::EntryId,
    members::{MEMBERS_SHOWN, Member},
    rate_limit::Rate,
    session::Uri,
    table::{Applied, read},
    user::User,
    visit::Visit,
};

/// How far a member has read.
#[derive(Clone, Debug, Serialize)]
pub struct Marker {
    #[serde(rename = "type")]
    kind: &'static str,
    uri: Uri,
    user: User,
    read_id: EntryId,
}

impl Confab {
    /// Moves the caller's read marker forward to the entry `id`, and tells the room. A marker that is there already, or further, stays
    /// where it is; the answer says where.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::Invalid`] where `id` is no entry of this chat's; [`Error::Throttled`] for too many a minute.
    pub async fn mark_read(&self, visit: &Visit, fields: &Fields) -> Result<Marker> {
        let session = visit.as_member()?;
        let user = visit.caller.public();
        let id = fields.required_entry_id("id")?;
        let marker = |read_id| Marker { kind: "read", uri: session.uri.clone(), user: user.clone(), read_id };
        let read_id = visit.member()?.read_id;
        if id <= read_id {
            return Ok(marker(read_id));
        }
        let Some(session) = self.session_with(session, id).await? else {
            return Err(Invalid::field("id", "There is no such entry in this chat.").into());
        };
        self.throttle(Rate::Markers, user.id, 1).await?;
        match self.table().apply(Member::read_up_to(&session, user.id, id)).await? {
            Applied::Done(_) => {}
            Applied::Refused(Some(item)) => return Ok(marker(read::<Member>(&item)?.read_id)),
            Applied::Refused(None) => return Err(Error::not_a_member()),
        }
        // As with presence: what each does would be told to all.
        if session.member_count <= MEMBERS_SHOWN {
            let uri = &session.uri;
            self.tell(uri, format!("{uri}-read-{}-{id}", user.id), &json!(marker(id))).await;
        }
        Ok(marker(id))
    }
}
