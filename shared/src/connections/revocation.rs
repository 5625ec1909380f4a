//! What ends when a right ends: the sockets of a token that is no good any more, the subscriptions of a former member.
//!
//! Whoever ends the right ends these too before answering. Should that be cut off in between, the table's stream tells the
//! function `settle` of the right that ended, and it does the same again; both look at how things are now, so doing it twice,
//! or late, is harmless.

use futures_util::{StreamExt, future, stream};
use serde_json::json;

use crate::{
    Confab, Result,
    auth::user::Profile,
    aws::table::Key,
    chats::access::Identity,
    chats::members::Member,
    connections::connection::UserConnection,
    ids::{ChatUri, UserId},
    json,
};

/// Sockets that are closed, or subscriptions that are ended, concurrently.
const CLOSED_AT_A_TIME: usize = 10;

impl Confab {
    /// Closes those sockets of a user whose token is no good any more.
    pub(crate) async fn close_unauthorized_sockets(&self, user_id: UserId) -> Result<()> {
        let connections = self.connections_of(user_id).await?;
        let identity = |connection: &UserConnection| Identity { user_id, token: connection.token.clone() };
        let tokens = connections.iter().map(|connection| identity(connection).key());
        let found = self.table().get_many(tokens.chain([Profile::key(user_id)]).collect::<Vec<Key>>()).await?;
        let mut unauthorized = Vec::new();
        for connection in connections {
            if !crate::chats::access::is_good(&found, &identity(&connection))? {
                unauthorized.push(connection.connection_id);
            }
        }
        self.close_sockets(unauthorized).await
    }

    /// Closes sockets and forgets their connections, some at a time. What goes wrong with one keeps none of the others open.
    pub(crate) async fn close_sockets(&self, connection_ids: Vec<String>) -> Result<()> {
        let close = async |connection_id: String| {
            // Without its subscriptions nothing more is delivered to it, even if it should stay open a while.
            let dropped = self.drop_connection(&connection_id).await;
            dropped.and(self.sockets()?.close(&connection_id).await)
        };
        let closed = stream::iter(connection_ids).map(close).buffer_unordered(CLOSED_AT_A_TIME);
        closed.fold(Ok(()), |result: Result<()>, closed| future::ready(result.and(closed))).await
    }

    /// Ends the subscriptions that a user has to a chat without being in it, and tells the sockets so.
    pub(crate) async fn end_strangers_subscriptions(&self, uri: &ChatUri, user_id: UserId) -> Result<()> {
        if self.table().get::<Member>(&Member::key(uri, user_id)).await?.is_some() {
            return Ok(());
        }
        let subscribed = self.subscribed_connections(user_id, uri).await?;
        let end = async |connection_id: String| {
            let ended = self.end_subscription(&connection_id, uri).await;
            ended.map(|ended| ended.then_some(connection_id))
        };
        let ended: Vec<Result<Option<String>>> =
            stream::iter(subscribed).map(end).buffer_unordered(CLOSED_AT_A_TIME).collect().await;
        let mut result = Ok(());
        let mut connection_ids = Vec::new();
        for ended in ended {
            match ended {
                Ok(connection_id) => connection_ids.extend(connection_id),
                Err(error) => result = Err(error),
            }
        }
        // A socket that does not get this gets nothing else of the chat either.
        let frame = json::to_line(&json!({ "type": "unsubscribed", "uri": uri }))?;
        self.sockets()?.notify(connection_ids, &frame).await;
        result
    }
}
