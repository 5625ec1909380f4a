//! Connections as stored: by their id, and by their user, so that logging out finds them. Both items expire by
//! themselves, since API Gateway does not guarantee `$disconnect`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, future, stream};
use serde::{Deserialize, Serialize};

use super::subscriber::Subscriber;
use crate::{
    Confab, Error, Result,
    auth::{
        authentication::{Caller, Identity},
        token::TokenHash,
    },
    aws::table::{Write, read},
    date::Date,
    ids::{ChatUri, ConnectionId, UserId},
    key::{Key, Partition},
};

/// API Gateway ends a connection after two hours
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>);
/// ten minutes more allow for clocks and a late `$connect`.
const LIFETIME_SECONDS: i64 = 2 * 3600 + 600;
/// Subscriptions of a connection that are deleted concurrently.
const CONCURRENT_DELETIONS: usize = 10;

const USER_CONNECTION: &str = "CONNECTION#";

/// A connection as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    #[serde(flatten)]
    pub(crate) identity: Identity,
    pub(crate) connect_date: Date,
    pub(crate) expires_at: i64,
    /// The chats that it is subscribed to: a set, which DynamoDB does not keep while it is empty.
    #[serde(default, skip_serializing)]
    pub(crate) uris: BTreeSet<ChatUri>,
}

/// A connection among its user's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserConnection {
    pub(crate) connection_id: ConnectionId,
    pub(crate) token: TokenHash,
    pub(crate) connect_date: Option<Date>,
    expires_at: i64,
}

impl Connection {
    /// A connection that opens now. It expires with its token.
    pub(crate) fn new(identity: Identity, caller: &Caller) -> Self {
        let connect_date = Date::now();
        let expires_at = (connect_date.epoch_seconds() + LIFETIME_SECONDS).min(caller.token_expires_at);
        Self { identity, connect_date, expires_at, uris: BTreeSet::new() }
    }

    /// The connection as a subscriber of a chat.
    pub(crate) fn subscriber(&self, connection_id: &ConnectionId) -> Subscriber {
        let Self { identity, connect_date, expires_at, .. } = self;
        Subscriber {
            connection_id: connection_id.clone(),
            connect_date: *connect_date,
            user_id: identity.user_id,
            expires_at: *expires_at,
            failed_tries: 0,
        }
    }

    pub(crate) fn key(connection_id: &ConnectionId) -> Key {
        Partition::Connection.key(connection_id, "CONNECTION")
    }

    /// The writes that open it.
    pub(crate) fn put(&self, connection_id: &ConnectionId) -> Result<[Write; 2]> {
        let Self { identity: Identity { user_id, token }, connect_date, expires_at, .. } = self;
        let user_connection = UserConnection {
            connection_id: connection_id.clone(),
            token: token.clone(),
            connect_date: Some(*connect_date),
            expires_at: *expires_at,
        };
        Ok([
            Write::put(Self::key(connection_id), self)?,
            Write::put(UserConnection::key(*user_id, connection_id), &user_connection)?,
        ])
    }
}

impl UserConnection {
    fn key(user_id: UserId, connection_id: &ConnectionId) -> Key {
        Partition::User.key(user_id, format!("{USER_CONNECTION}{connection_id}"))
    }
}

impl Confab {
    /// An open connection.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] where it is unknown or has expired.
    pub(crate) async fn connection(&self, connection_id: &ConnectionId) -> Result<Connection> {
        self.table().get(Connection::key(connection_id)).await?.ok_or(Error::NotAuthenticated)
    }

    /// The connections of a user.
    pub(crate) async fn connections_of(&self, user_id: UserId) -> Result<Vec<UserConnection>> {
        self.table().pages_under(Partition::User.of(user_id), USER_CONNECTION).all().await
    }

    /// The connections of a user that are subscribed to a chat.
    pub(crate) async fn subscribed_connections(&self, user_id: UserId, uri: &ChatUri) -> Result<Vec<ConnectionId>> {
        let connections = self.connections_of(user_id).await?.into_iter();
        let ids: Vec<ConnectionId> = connections.map(|connection| connection.connection_id).collect();
        let mut found = self.table().get_many(ids.iter().map(Connection::key)).await?;
        let mut subscribed = Vec::new();
        for id in ids {
            let connection: Option<Connection> = found.take(&Connection::key(&id))?;
            if connection.is_some_and(|connection| connection.uris.contains(uri)) {
                subscribed.push(id);
            }
        }
        Ok(subscribed)
    }

    /// Deletes a connection with all its subscriptions; idempotent.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn drop_connection(&self, connection_id: &ConnectionId) -> Result<()> {
        // The connection goes first, so that no new subscription can be added to it from here on.
        let Some(item) = self.table().apply(Write::delete(Connection::key(connection_id))).await? else {
            return Ok(());
        };
        let Connection { identity, uris, .. } = read(item)?;
        let keys = uris.iter().map(|uri| Subscriber::key(uri, connection_id));
        let keys = keys.chain([UserConnection::key(identity.user_id, connection_id)]);
        let writes: Vec<Write> = keys.map(Write::delete).collect();
        // A failure of one deletion does not prevent the others.
        let deleted =
            stream::iter(writes).map(|write| self.table().apply(write)).buffer_unordered(CONCURRENT_DELETIONS);
        deleted.fold(Ok(()), |result: Result<()>, deleted| future::ready(result.and(deleted.map(drop)))).await
    }

    /// Ends a subscription, and returns whether the connection named it. A name without a subscriber is removed, too:
    /// it is of a subscription that is still being registered, or whose registration was cut off.
    pub(crate) async fn end_subscription(&self, connection_id: &ConnectionId, uri: &ChatUri) -> Result<bool> {
        let writes = vec![
            Write::update(Connection::key(connection_id), "DELETE uris :uris")
                .when("contains(uris, :uri)")
                .texts(":uris", [uri])
                .text(":uri", uri.to_string())
                .otherwise(|_| Error::AlreadyDone),
            Write::delete(Subscriber::key(uri, connection_id)),
        ];
        match self.table().transact(writes).await {
            Ok(()) => Ok(true),
            // The subscription has been ended already, or the connection dropped.
            Err(Error::AlreadyDone) => self.drop_orphan(uri, connection_id).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a subscriber that its connection does not name: a subscription that was registered while the connection
    /// was dropped, or while the subscription was ended.
    pub(crate) async fn drop_orphan(&self, uri: &ChatUri, connection_id: &ConnectionId) -> Result<()> {
        let writes = vec![
            Write::check(Connection::key(connection_id), "attribute_not_exists(uris) OR NOT contains(uris, :uri)")
                .text(":uri", uri.to_string())
                .otherwise(|_| Error::AlreadyDone),
            Write::delete(Subscriber::key(uri, connection_id)),
        ];
        match self.table().transact(writes).await {
            Err(Error::AlreadyDone) => Ok(()),
            ended => ended,
        }
    }

    /// Drops a connection that is gone, found as a subscriber of `uri`.
    pub(crate) async fn drop_subscriber(&self, uri: &ChatUri, connection_id: &ConnectionId) -> Result<()> {
        // The connection first: when the subscriber goes, the stream's consumer evaluates whether its user is still
        // online. The subscriber by itself too, in case an earlier clean-up was cut off in between.
        self.drop_connection(connection_id).await?;
        self.table().apply(Write::delete(Subscriber::key(uri, connection_id))).await.map(drop)
    }
}
