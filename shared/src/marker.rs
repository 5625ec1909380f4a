//! Read markers: how far each member has read, which moves forward only and is told to the room, unless that is large.

use serde::Serialize;
use serde_json::json;

use crate::{
    Confab, Error, Result,
    error::Invalid,
    fields::Fields,
    log::EntryId,
    presence::PRESENCE_MEMBERS,
    session::{Member, Uri},
    table::{Write, read},
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
    /// As [`Visit::as_member`]; [`Error::Invalid`] where `id` is no entry of this chat's.
    pub async fn mark_read(&self, visit: &Visit, fields: &Fields) -> Result<Marker> {
        let session = visit.as_member()?;
        let (uri, user) = (&session.uri, &visit.caller.user);
        let id = fields.required_entry_id("id")?;
        if id > 0 && self.last_id_with(session, id).await?.is_none() {
            return Err(Invalid::field("id", "There is no such entry in this chat.").into());
        }
        let marker = |read_id| Marker { kind: "read", uri: uri.clone(), user: user.clone(), read_id };
        let forward = |key| Write::update(key, "SET read_id = :id").when("read_id < :id").number(":id", id);
        let writes = vec![forward(Member::key(uri, user.id)), forward(Member::membership_key(uri, user.id))];
        match self.table().transact(writes).await? {
            None => {
                // As with presence: what each does would be told to all.
                if session.member_count <= PRESENCE_MEMBERS {
                    self.tell(uri, format!("{uri}-read-{}-{id}", user.id), &json!(marker(id))).await;
                }
                Ok(marker(id))
            }
            Some(refusal) => match refusal.item {
                Some(item) => Ok(marker(read::<Member>(&item)?.read_id)),
                None => Err(Error::not_a_member()),
            },
        }
    }
}
