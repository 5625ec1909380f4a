//! What ends when a right ends: the sockets of a token that is no good any more, the subscriptions of a former member.
//!
//! Whoever ends the right ends these too before answering. Should that be cut off in between, the table's stream tells the
//! function `settle` of the right that ended, and it does the same again; both look at how things are now, so doing it twice,
//! or late, is harmless.

use futures_util::{StreamExt, future, stream};
use serde_json::json;

use crate::{
    Confab, Result,
    connection::Owned,
    json,
    session::{Member, Uri},
    table::Key,
    user::{Profile, UserId},
    visit::Identity,
};

impl Confab {
    /// Closes those sockets of a user whose token is no good any more. What goes wrong with one keeps none of the others open.
    pub(crate) async fn close_unauthorized_sockets(&self, user_id: UserId) -> Result<()> {
        let connections = self.connections_of(user_id).await?;
        let identity = |connection: &Owned| Identity { user_id, token: connection.token.clone() };
        let tokens = connections.iter().map(|connection| identity(connection).key());
        let found = self.table().get_many(tokens.chain([Profile::key(user_id)]).collect::<Vec<Key>>()).await?;
        let mut result = Ok(());
        for connection in &connections {
            if crate::visit::is_good(&found, &identity(connection))? {
                continue;
            }
            // Without its subscriptions nothing more is delivered to it, even if it should stay open a while.
            let dropped = self.drop_connection(&connection.connection_id).await;
            let closed = self.sockets()?.close(&connection.connection_id).await;
            result = result.and(dropped).and(closed);
        }
        result
    }

    /// Ends the subscriptions that a user has to a chat without being in it, and tells the sockets so.
    pub(crate) async fn end_strangers_subscriptions(&self, uri: &Uri, user_id: UserId) -> Result<()> {
        if self.table().get::<Member>(&Member::key(uri, user_id)).await?.is_some() {
            return Ok(());
        }
        let subscribed = self.subscribed_connections(user_id, uri).await?;
        let ended = stream::iter(subscribed).map(async |connection_id: String| {
            if !self.end_subscription(&connection_id, uri).await? {
                return Ok(());
            }
            let frame = json::to_line(&json!({ "type": "unsubscribed", "uri": uri }))?;
            // It is a courtesy: a socket that does not get it gets nothing else of this chat either.
            if let Err(error) = self.sockets()?.post(&connection_id, &frame).await {
                error.log();
            }
            Ok(())
        });
        ended.buffer_unordered(10).fold(Ok(()), |result: Result<()>, ended| future::ready(result.and(ended))).await
    }
}
