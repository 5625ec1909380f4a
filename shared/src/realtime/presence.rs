//! Presence events: a chat is notified when a user comes online or goes offline in it, once for each user and not for
//! each socket.
//!
//! The item at `PRESENCE#<uri>` is what was last broadcast. The table's stream reports subscribers that come and go, in
//! whatever way: unsubscribing, a closed socket, a 410, or an expired subscription. A user who goes and comes back
//! within one batch of the stream causes no event, which damps flapping.

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{
    Confab, Result,
    auth::user::User,
    aws::table::Write,
    chats::{chat::Chat, ephemeral::EphemeralEvent, member::MEMBERS_SHOWN},
    date::Date,
    ids::{ChatUri, SequenceNumber, UserId},
    key::{Key, Partition},
};

/// Events that are published concurrently.
const CONCURRENT_BROADCASTS: usize = 10;

/// That a user was broadcast as online.
#[derive(Serialize)]
struct Presence {
    online_date: Date,
}

/// A user who may have come online or gone offline in a chat.
#[derive(Clone, Debug)]
pub(super) struct PresenceChange {
    pub(super) uri: ChatUri,
    pub(super) user_id: UserId,
    /// The stream record that led here, so that a repeat has the same deduplication id, and a new event another one.
    pub(super) occasion: SequenceNumber,
}

impl PresenceChange {
    /// The key of what was last broadcast.
    fn key(&self) -> Key {
        Partition::Presence.key(&self.uri, self.user_id.to_string())
    }
}

/// What there is to broadcast.
struct Transition<'a> {
    change: &'a PresenceChange,
    is_online: bool,
    was_online: bool,
    user: Option<User>,
}

impl Confab {
    /// Broadcasts whether users are online in chats, where that differs from the last broadcast. That a user is offline
    /// is broadcast even if it was not that they are online: members who read the chat in between have seen them.
    ///
    /// What decides is read for all at once; if that fails, for each by itself, so that one that keeps failing takes no
    /// other with it.
    pub(super) async fn broadcast_presence(&self, changes: &[PresenceChange]) -> Vec<Result<()>> {
        match self.broadcast_transitions(changes).await {
            Ok(broadcast) => broadcast,
            Err(_) if changes.len() > 1 => {
                let alone = |change| async move {
                    let broadcast = self.broadcast_transitions(std::slice::from_ref(change)).await;
                    broadcast.and_then(|broadcast| broadcast.into_iter().collect())
                };
                let each: Vec<_> = changes.iter().map(alone).collect();
                stream::iter(each).buffered(CONCURRENT_BROADCASTS).collect().await
            }
            Err(error) => vec![Err(error)],
        }
    }

    async fn broadcast_transitions(&self, changes: &[PresenceChange]) -> Result<Vec<Result<()>>> {
        let transitions = self.transitions(changes).await?;
        let broadcasts = transitions.iter().map(async |transition| match transition {
            Some(transition) => self.broadcast_transition(transition).await,
            None => Ok(()),
        });
        let broadcasts: Vec<_> = broadcasts.collect();
        Ok(stream::iter(broadcasts).buffered(CONCURRENT_BROADCASTS).collect().await)
    }

    /// For each change what there is to broadcast. Most users who reconnect were last broadcast as online, so nothing
    /// else is read for them.
    async fn transitions<'a>(&self, changes: &'a [PresenceChange]) -> Result<Vec<Option<Transition<'a>>>> {
        let online = self.chats_online(changes.iter().map(|change| change.user_id)).await?;
        let broadcast = self.table().get_many(changes.iter().map(PresenceChange::key)).await?;
        let candidates = changes.iter().map(|change| {
            let is_online = online.contains(&(change.user_id, change.uri.clone()));
            let was_online = broadcast.has(&change.key());
            (!is_online || !was_online).then_some((change, is_online, was_online))
        });
        let candidates: Vec<_> = candidates.collect();
        let uris = candidates.iter().flatten().map(|(change, ..)| Chat::key(&change.uri));
        let chats = self.table().get_many(uris).await?.all::<Chat>()?;
        let has_presence = |change: &PresenceChange| {
            chats.get(&Chat::key(&change.uri)).is_some_and(|chat| chat.member_count <= MEMBERS_SHOWN)
        };
        let candidates = candidates.into_iter().map(|candidate| candidate.filter(|(change, ..)| has_presence(change)));
        let candidates: Vec<_> = candidates.collect();
        let users = self.users(candidates.iter().flatten().map(|(change, ..)| change.user_id)).await?;
        let transition = |(change, is_online, was_online): (&'a PresenceChange, bool, bool)| Transition {
            change,
            is_online,
            was_online,
            user: users.get(&change.user_id).cloned(),
        };
        Ok(candidates.into_iter().map(|candidate| candidate.map(transition)).collect())
    }

    async fn broadcast_transition(&self, transition: &Transition<'_>) -> Result<()> {
        let Transition { change, is_online, was_online, user } = transition;
        let PresenceChange { uri, user_id, occasion } = change;
        let user = user.as_ref();
        let (kind, event) = match is_online {
            true => ("online", EphemeralEvent::Online { uri, user }),
            false => ("offline", EphemeralEvent::Offline { uri, user }),
        };
        // First published, then stored: a repeat is dropped by its deduplication id; an event that is not published
        // would be lost.
        self.publish(uri, format!("{uri}-{kind}-{user_id}-{occasion}"), &event).await?;
        let write = match (is_online, was_online) {
            (true, _) => Write::put(change.key(), &Presence { online_date: Date::now() })?,
            (false, true) => Write::delete(change.key()),
            (false, false) => return Ok(()),
        };
        self.table().apply(write).await.map(drop)
    }
}
