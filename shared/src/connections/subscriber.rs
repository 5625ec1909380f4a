//! A chat's subscribers: the connections that the fan-out delivers to.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Confab, Result,
    aws::table::Write,
    date::Date,
    ids::{ChatUri, ConnectionId, UserId},
    key::{Key, Partition},
};

/// A connection among a chat's subscribers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    pub(crate) connection_id: ConnectionId,
    pub(super) connect_date: Date,
    pub(crate) user_id: UserId,
    pub(super) expires_at: i64,
    /// How often in a row it could not be written to, while others could.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) failed_tries: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// One of the sixteen parts of a chat's subscribers, by a hash of the connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Shard(u8);

impl Shard {
    const NUMBER: u8 = 16;

    pub(crate) fn of(connection_id: &ConnectionId) -> Self {
        Self(Sha256::digest(connection_id.as_str())[0] % Self::NUMBER)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..Self::NUMBER).map(Self)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl Subscriber {
    pub(crate) fn key(uri: &ChatUri, connection_id: &ConnectionId) -> Key {
        Partition::Subscribers.key(uri, format!("{}#{connection_id}", Shard::of(connection_id)))
    }

    /// How long ago it connected.
    pub(crate) fn age_seconds(&self) -> i64 {
        Date::now().epoch_seconds() - self.connect_date.epoch_seconds()
    }
}

impl Confab {
    /// A chat's subscribers, or `None` if they are more than are served directly.
    pub(crate) async fn few_subscribers(&self, uri: &ChatUri) -> Result<Option<Vec<Subscriber>>> {
        let most = self.limits().large_chat;
        let pages = self.table().pages(Partition::Subscribers.of(uri)).limit(most + 1);
        let subscribers: Vec<Subscriber> = pages.up_to(most + 1).await?;
        Ok((subscribers.len() <= most).then_some(subscribers))
    }

    /// A shard of a chat's subscribers.
    pub(crate) async fn shard_of_subscribers(&self, uri: &ChatUri, shard: Shard) -> Result<Vec<Subscriber>> {
        self.table().pages_under(Partition::Subscribers.of(uri), &format!("{shard}#")).all().await
    }

    /// Sets how often a subscriber could not be written to.
    pub(crate) async fn set_failed_tries(&self, uri: &ChatUri, subscriber: &Subscriber, tries: u32) -> Result<()> {
        let key = Subscriber::key(uri, &subscriber.connection_id);
        let write = Write::update(key, "SET failed_tries = :tries").number(":tries", tries).if_present();
        self.table().attempt(write).await.map(drop)
    }

    /// A connection as a subscriber of a chat, if it is one.
    pub(crate) async fn subscriber(&self, uri: &ChatUri, connection_id: &ConnectionId) -> Result<Option<Subscriber>> {
        self.table().get(Subscriber::key(uri, connection_id)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_connection_has_one_shard_and_no_shard_is_left_out() {
        let shards: HashSet<Shard> = (0..2000).map(|n| Shard::of(&format!("{n}=").into())).collect();
        assert_eq!(shards, Shard::all().collect());
    }
}
