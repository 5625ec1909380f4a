//! Ephemeral events, which are sent to sockets and are not in the log.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    auth::user::User,
    ids::{ChatUri, EntryId, UserId},
};

/// An ephemeral event, as clients and the exchange see it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum EphemeralEvent<'a> {
    /// The user of the socket was added to a chat.
    Added { uri: &'a ChatUri },
    /// The socket's subscription has ended.
    Unsubscribed { uri: &'a ChatUri },
    /// A user has come online in a chat.
    Online { uri: &'a ChatUri, user: Option<&'a User> },
    /// A user has gone offline in a chat.
    Offline { uri: &'a ChatUri, user: Option<&'a User> },
    /// Read markers have moved to these entries. As a direct answer to `read`: the caller's own marker.
    Read { uri: &'a ChatUri, read: &'a BTreeMap<UserId, EntryId> },
    /// A member is typing. It is not sent to its author, and not at all in a large chat.
    Typing { uri: &'a ChatUri, user: &'a User },
}
