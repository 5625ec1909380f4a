//! Presence is derived: a user is online in a chat while they have a subscription to it.

use std::collections::BTreeSet;

use crate::{
    Confab, Result,
    ids::{ChatUri, UserId},
};

impl Confab {
    /// Who is online in a chat, or `None` where the subscribers are too many to read.
    pub(crate) async fn online_users(&self, uri: &ChatUri) -> Result<Option<BTreeSet<UserId>>> {
        let subscribers = self.few_subscribers(uri).await?;
        Ok(subscribers.map(|subscribers| subscribers.into_iter().map(|subscriber| subscriber.user_id).collect()))
    }

    /// Whether a user is online in a chat.
    pub(crate) async fn is_online(&self, uri: &ChatUri, user_id: UserId) -> Result<bool> {
        Ok(!self.subscribed_connections(user_id, uri).await?.is_empty())
    }
}
