//! Presence events: a chat is notified when a user comes online or goes offline in it, once for each user and not for
//! each socket.
//!
//! The item at `PRESENCE#<uri>` is what was last broadcast. The table's stream reports subscribers that come and go, in
//! whatever way: unsubscribing, a closed socket, a 410, or an expired subscription. A user who goes and comes back
//! within one batch of the stream causes no event, which damps flapping.

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    aws::table::Write,
    chats::{ephemeral::EphemeralEvent, member::MEMBERS_SHOWN},
    date::Date,
    ids::{ChatUri, SequenceNumber, UserId},
    key::{Key, Partition},
};

/// That a user was broadcast as online.
#[derive(Serialize, Deserialize)]
struct Presence {
    online_date: Date,
}

impl Presence {
    fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Partition::Presence.key(uri, user_id.to_string())
    }
}

impl Confab {
    /// Broadcasts whether a user is online in a chat, if that differs from the last broadcast. That a user is offline
    /// is broadcast even if it was not that they are online: members who read the chat in between have seen them. `occasion`
    /// is the stream record that led here, so that a repeat has the same deduplication id, and a new event another one.
    pub(super) async fn broadcast_presence(
        &self,
        uri: &ChatUri,
        user_id: UserId,
        occasion: &SequenceNumber,
    ) -> Result<()> {
        match self.chat(uri).await {
            Ok(chat) if chat.member_count > MEMBERS_SHOWN => return Ok(()),
            Err(Error::NotFound) => return Ok(()),
            chat => drop(chat?),
        }
        let is_online = self.is_online(uri, user_id).await?;
        let key = Presence::key(uri, user_id);
        let was_online = self.table().get::<Presence>(key.clone()).await?.is_some();
        if is_online && was_online {
            return Ok(());
        }
        let users = self.users([user_id]).await?;
        let user = users.get(&user_id);
        let (kind, event) = match is_online {
            true => ("online", EphemeralEvent::Online { uri, user }),
            false => ("offline", EphemeralEvent::Offline { uri, user }),
        };
        // First published, then stored: a repeat is dropped by its deduplication id; an event that is not published
        // would be lost.
        self.publish(uri, format!("{uri}-{kind}-{user_id}-{occasion}"), &event).await?;
        let write = match (is_online, was_online) {
            (true, _) => Write::put(key, &Presence { online_date: Date::now() })?,
            (false, true) => Write::delete(key),
            (false, false) => return Ok(()),
        };
        self.table().apply(write).await.map(drop)
    }
}
