//! Former memberships: a trace of each chat that a user has left. By it an export, and the erasure of a deleted account,
//! find what the user said there.

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    aws::table::Write,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// The prefix of a former membership's sort key.
pub(crate) const FORMER_MEMBERSHIP: &str = "WAS#";

/// A former membership as stored. It stays if the user comes back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FormerMembership {
    pub(crate) uri: ChatUri,
    /// How far the log has been erased, once the user's account is deleted.
    #[serde(default)]
    pub(crate) erased_id: EntryId,
}

impl FormerMembership {
    pub(crate) fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Partition::User.key(user_id, format!("{FORMER_MEMBERSHIP}{uri}"))
    }

    /// Leaves the trace.
    pub(crate) fn put(uri: &ChatUri, user_id: UserId) -> Result<Write> {
        Write::put(Self::key(uri, user_id), &Self { uri: uri.clone(), erased_id: EntryId::NONE })
    }

    /// Notes how far the log has been erased.
    pub(crate) fn erased_up_to(uri: &ChatUri, user_id: UserId, id: EntryId) -> Write {
        Write::update(Self::key(uri, user_id), "SET erased_id = :id").number(":id", id)
    }
}
