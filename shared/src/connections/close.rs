//! Closing sockets: of revoked tokens, and beyond the limit of one user.

use futures_util::{StreamExt, future, stream};

use crate::{
    Confab, Result,
    auth::{authentication::Identity, token::StoredToken, user::Profile},
    ids::{ConnectionId, UserId},
};

/// Sockets that are closed concurrently.
const CONCURRENT_CLOSES: usize = 10;
/// The most sockets of one user that a new connection closes.
const SURPLUS: usize = 64;

impl Confab {
    /// Closes those sockets of a user whose token has been revoked.
    pub(crate) async fn close_unauthorized_sockets(&self, user_id: UserId) -> Result<()> {
        let connections = self.connections_of(user_id).await?.into_iter();
        let connections = connections.map(|connection| {
            let identity = Identity { user_id, token: connection.token };
            (connection.connection_id, identity)
        });
        let connections: Vec<(ConnectionId, Identity)> = connections.collect();
        let tokens = connections.iter().map(|(_, identity)| identity.key());
        let mut found = self.table().get_many(tokens.chain([Profile::key(user_id)]).collect::<Vec<_>>()).await?;
        let profile: Option<Profile> = found.take(&Profile::key(user_id))?;
        let tokens = found.all::<StoredToken>()?;
        let is_valid = |identity: &Identity| identity.is_valid(profile.as_ref(), tokens.get(&identity.key()));
        let unauthorized = connections.into_iter().filter(|(_, identity)| !is_valid(identity));
        self.close_sockets(unauthorized.map(|(connection_id, _)| connection_id).collect()).await
    }

    /// Closes the oldest sockets of a user who has too many. It reads them after `newest` has been written, so that of
    /// several concurrent ones the last sees all. A failure is logged: the next connection tries again.
    pub(crate) async fn close_surplus_sockets(&self, user_id: UserId, newest: &ConnectionId) {
        let Some(most) = self.limits().sockets_per_user else { return };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        if let Err(error) = self.close_all_but(most, user_id, newest).await {
            error.log();
        }
    }

    async fn close_all_but(&self, most: usize, user_id: UserId, newest: &ConnectionId) -> Result<()> {
        let mut connections = self.connections_of(user_id).await?;
        let surplus = connections.len().saturating_sub(most).min(SURPLUS);
        if surplus == 0 {
            return Ok(());
        }
        connections.retain(|connection| connection.connection_id != *newest);
        connections.sort_by_key(|connection| connection.connect_date);
        let oldest = connections.into_iter().take(surplus).map(|connection| connection.connection_id);
        self.close_sockets(oldest.collect()).await
    }

    /// Closes sockets and drops their connections. A failure of one does not keep the others open.
    async fn close_sockets(&self, connection_ids: Vec<ConnectionId>) -> Result<()> {
        let close = async |connection_id: ConnectionId| {
            // Without its subscriptions nothing more is delivered to it, even if it should stay open for a while.
            let dropped = self.drop_connection(&connection_id).await;
            dropped.and(self.sockets()?.close(&connection_id).await)
        };
        let closed = stream::iter(connection_ids).map(close).buffer_unordered(CONCURRENT_CLOSES);
        closed.fold(Ok(()), |result: Result<()>, closed| future::ready(result.and(closed))).await
    }
}
