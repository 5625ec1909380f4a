//! Presence: who listens in a chat at the moment, and telling the others when that changes, once for each user and not for each socket.
//!
//! Whether somebody is there is a matter of looking: whoever has a subscription is. What is kept, `PRESENCE#<uri>`, is what the chat has been
//! told. The table's stream tells of subscribers that come and go, by whatever way they go: unsubscribing, a closed socket, a 410, or a
//! subscription that has expired. Whoever goes and comes back within one batch of the stream was never away, so that flapping is damped.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    Confab, Result,
    aws::table::{Key, Write},
    chats::chat::Chat,
    chats::members::MEMBERS_SHOWN,
    date::Date,
    ids::{ChatUri, UserId},
};

/// What a chat has been told of a user: that they are there.
#[derive(Serialize, Deserialize)]
struct Presence {
    online_date: Date,
}

impl Presence {
    fn key(uri: &ChatUri, user_id: UserId) -> Key {
        Key::new(format!("PRESENCE#{uri}"), user_id.to_string())
    }
}

impl Confab {
    /// Who is present in a chat, or nothing where they are too many to look.
    pub(crate) async fn present(&self, uri: &ChatUri) -> Result<Option<BTreeSet<UserId>>> {
        let subscribers = self.few_subscribers(uri).await?;
        Ok(subscribers.map(|subscribers| subscribers.into_iter().map(|subscriber| subscriber.user_id).collect()))
    }

    /// Tells a chat that a user is there, unless it has been told, or is not any more. The latter even if it was not told that they
    /// came: whoever looked in between has seen them. `occasion` names the change that gave rise to it, so
    /// that telling it again can be told from telling it anew.
    pub(crate) async fn broadcast_presence(&self, uri: &ChatUri, user_id: UserId, occasion: &str) -> Result<()> {
        let chat: Option<Chat> = self.table().get(&Chat::key(uri)).await?;
        if chat.is_none_or(|chat| chat.member_count > MEMBERS_SHOWN) {
            return Ok(());
        }
        let is_there = !self.subscribed_connections(user_id, uri).await?.is_empty();
        let key = Presence::key(uri, user_id);
        let told = self.table().get::<Presence>(&key).await?.is_some();
        if is_there && told {
            return Ok(());
        }
        let users = self.users([user_id]).await?;
        let kind = if is_there { "online" } else { "offline" };
        let event = json!({ "type": kind, "uri": uri, "user": users.get(&user_id) });
        // First told, then kept: what is told twice is dropped by its id, what is not told at all would never be.
        self.publish(uri, format!("{uri}-{kind}-{user_id}-{occasion}"), &event).await?;
        let keep = match (is_there, told) {
            (true, _) => Write::put(key, &Presence { online_date: Date::now() })?,
            (false, true) => Write::delete(key),
            (false, false) => return Ok(()),
        };
        self.table().apply(keep).await.map(drop)
    }
}
