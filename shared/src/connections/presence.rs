//! Presence is derived: a user is online in a chat while they have a subscription to it.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::connection::{Connection, UserConnection};
use crate::{
    Confab, Result,
    ids::{ChatUri, UserId},
};

/// Users whose connections are read concurrently.
const CONCURRENT_READS: usize = 10;

impl Confab {
    /// Who is online in a chat, or `None` where the subscribers are too many to read.
    pub(crate) async fn online_users(&self, uri: &ChatUri) -> Result<Option<BTreeSet<UserId>>> {
        let subscribers = self.few_subscribers(uri).await?;
        Ok(subscribers.map(|subscribers| subscribers.into_iter().map(|subscriber| subscriber.user_id).collect()))
    }

    /// The chats in which some users are online.
    pub(crate) async fn chats_online(
        &self,
        user_ids: impl IntoIterator<Item = UserId>,
    ) -> Result<BTreeSet<(UserId, ChatUri)>> {
        let user_ids: BTreeSet<UserId> = user_ids.into_iter().collect();
        let reads: Vec<_> = user_ids.into_iter().map(|user_id| self.connections_of(user_id)).collect();
        let connections: Vec<Vec<UserConnection>> =
            stream::iter(reads).buffer_unordered(CONCURRENT_READS).try_collect().await?;
        let keys = connections.iter().flatten().map(|connection| Connection::key(&connection.connection_id));
        let connections = self.table().get_many(keys).await?.all::<Connection>()?.into_values();
        let chats = connections
            .flat_map(|Connection { identity, uris, .. }| uris.into_iter().map(move |uri| (identity.user_id, uri)));
        Ok(chats.collect())
    }
}
