//! Ending the subscriptions of former members.
//!
//! Leaving and removal end them before the response. Should that be cut off, the table's stream leads `reconcile` to do
//! it again. It compares with the current state, so doing it twice, or late, is harmless.

use futures_util::{StreamExt, stream};

use super::{ephemeral::EphemeralEvent, member::Member};
use crate::{
    Confab, Result,
    ids::{ChatUri, ConnectionId, UserId},
    json,
};

/// Subscriptions that are ended concurrently.
const CONCURRENT_ENDS: usize = 10;

impl Confab {
    /// Ends the subscriptions that a user has to a chat without being a member, and notifies their sockets.
    pub(crate) async fn evict(&self, uri: &ChatUri, user_id: UserId) -> Result<()> {
        if self.table().get::<Member>(Member::key(uri, user_id)).await?.is_some() {
            return Ok(());
        }
        let subscribed = self.subscribed_connections(user_id, uri).await?;
        let end = async |connection_id: ConnectionId| {
            let ended = self.end_subscription(&connection_id, uri).await;
            ended.map(|ended| ended.then_some(connection_id))
        };
        let ended: Vec<Result<Option<ConnectionId>>> =
            stream::iter(subscribed).map(end).buffer_unordered(CONCURRENT_ENDS).collect().await;
        let (mut result, mut connection_ids) = (Ok(()), Vec::new());
        for ended in ended {
            match ended {
                Ok(connection_id) => connection_ids.extend(connection_id),
                Err(error) => result = Err(error),
            }
        }
        // A socket that misses this gets nothing else of the chat either.
        let frame = json::to_line(&EphemeralEvent::Unsubscribed { uri })?;
        self.sockets()?.notify(connection_ids, &frame).await;
        result
    }
}
