//! WebSocket connections and what they are subscribed to.
//!
//! A connection is known by its id, by its user (so that logging out finds it) and, once subscribed, by the chat (so that the
//! fan-out finds it). All three expire by themselves, for API Gateway does not promise to tell of every disconnect.

use std::fmt;

use futures_util::{StreamExt, future, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Confab, Error, Result,
    auth::token::{Token, TokenHash},
    auth::user::Profile,
    aws::table::{Applied, Key, Write, read},
    chats::access::Identity,
    chats::members::Member,
    date::Date,
    error::Invalid,
    ids::{ChatUri, UserId},
};

/// API Gateway ends a connection after two hours
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>);
/// ten minutes more allow for clocks and a late `$connect`.
const LIFETIME_SECONDS: i64 = 2 * 3600 + 600;

/// A connection may be subscribed to so many chats at once.
const SUBSCRIPTIONS: usize = 100;

/// Why a token is not let in.
const INVALID: &str = "Invalid token.";

/// The most sockets of one user that a new connection closes.
const SURPLUS: usize = 64;

/// A connection as stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connection {
    #[serde(flatten)]
    pub(crate) identity: Identity,
    connect_date: Date,
    expires_at: i64,
}

/// What a connection is subscribed to: a set that the table does not keep while it is empty.
#[derive(Deserialize)]
struct Subscriptions {
    #[serde(flatten)]
    identity: Identity,
    #[serde(default)]
    uris: Vec<ChatUri>,
}

/// A connection among its user's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserConnection {
    pub(crate) connection_id: String,
    pub(crate) token: TokenHash,
    connect_date: Option<Date>,
    expires_at: i64,
}

/// A connection among a chat's subscribers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    pub(crate) connection_id: String,
    connect_date: Date,
    pub(crate) user_id: UserId,
    expires_at: i64,
}

/// One of the sixteen parts that a chat's subscribers are split into, by a hash of the connection's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Shard(u8);

impl Shard {
    const NUMBER: u8 = 16;

    pub(crate) fn of(connection_id: &str) -> Self {
        Self(Sha256::digest(connection_id.as_bytes())[0] % Self::NUMBER)
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

impl Connection {
    fn key(connection_id: &str) -> Key {
        Key::new(format!("CONNECTION#{connection_id}"), "CONNECTION")
    }

    fn subscriber(&self, connection_id: &str) -> Subscriber {
        let Self { identity, connect_date, expires_at } = self;
        Subscriber {
            connection_id: connection_id.to_owned(),
            connect_date: *connect_date,
            user_id: identity.user_id,
            expires_at: *expires_at,
        }
    }
}

impl UserConnection {
    fn key(user_id: UserId, connection_id: &str) -> Key {
        Key::new(format!("USER#{user_id}"), format!("CONNECTION#{connection_id}"))
    }
}

impl Subscriber {
    fn key(uri: &ChatUri, connection_id: &str) -> Key {
        Key::new(Self::partition(uri), format!("{}#{connection_id}", Shard::of(connection_id)))
    }

    fn partition(uri: &ChatUri) -> String {
        format!("SUBSCRIBERS#{uri}")
    }

    /// How long ago it connected.
    pub(crate) fn age_seconds(&self) -> i64 {
        Date::now().epoch_seconds() - self.connect_date.epoch_seconds()
    }
}

impl Confab {
    /// Lets a connection in, and subscribes it at once where it names a chat.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`], [`Error::BadCredentials`], and for a chat as [`crate::chats::access::ChatAccess::require_member`].
    pub async fn connect(&self, connection_id: &str, token: Option<&Token>, uri: Option<&str>) -> Result<()> {
        let identity = Identity::from(token.ok_or(Error::NotAuthenticated)?);
        let (caller, uri) = match uri {
            Some(uri) => {
                let access = self.authorize(token, uri.parse().ok(), None).await?;
                let uri = access.require_member()?.uri.clone();
                (access.caller, Some(uri))
            }
            None => (self.authenticate(token).await?, None),
        };
        let connect_date = Date::now();
        // A connection expires with its token.
        let expires_at = (connect_date.epoch_seconds() + LIFETIME_SECONDS).min(caller.token_expires_at);
        let connection = Connection { identity, connect_date, expires_at };
        let Identity { user_id, token } = &connection.identity;
        let (connection_id, token) = (connection_id.to_owned(), token.clone());
        let owned = UserConnection { connection_id, token, connect_date: Some(connect_date), expires_at };
        let connection_id = &owned.connection_id;
        let writes = vec![
            // Logging out deletes the token, a new password starts a new epoch, and both then look for connections: with these
            // checks none slips through.
            Write::check(connection.identity.key(), "attribute_exists(pk)")
                .otherwise(|_| Error::BadCredentials(INVALID)),
            Write::check(Profile::key(*user_id), "epoch = :epoch")
                .number(":epoch", caller.epoch)
                .otherwise(|_| Error::BadCredentials(INVALID)),
            Write::put(Connection::key(connection_id), &connection)?,
            Write::put(UserConnection::key(*user_id, connection_id), &owned)?,
        ];
        self.table().transact(writes).await?;
        self.close_surplus_sockets(*user_id, connection_id).await;
        match uri {
            Some(uri) => self.register_subscription(connection_id, &connection, &uri).await,
            None => Ok(()),
        }
    }

    /// Closes the oldest sockets of a user who has too many. It looks after a connection has been written, so that of several that
    /// come at the same time the last sees all. What goes wrong here is tried again with the next one.
    async fn close_surplus_sockets(&self, user_id: UserId, newest: &str) {
        let Some(most) = self.limits().sockets_per_user else { return };
        let closed = async {
            let mut connections = self.connections_of(user_id).await?;
            let surplus = connections.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX)).min(SURPLUS);
            if surplus == 0 {
                return Ok(());
            }
            connections.retain(|connection| connection.connection_id != newest);
            connections.sort_by_key(|connection| connection.connect_date);
            self.close_sockets(connections.into_iter().take(surplus).map(|owned| owned.connection_id).collect()).await
        };
        if let Err(error) = closed.await {
            error.log();
        }
    }

    /// An open connection.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] where it is not known (any more).
    pub(crate) async fn connection(&self, connection_id: &str) -> Result<Connection> {
        let connection = self.table().get(&Connection::key(connection_id)).await?;
        connection.ok_or(Error::NotAuthenticated)
    }

    /// Registers a subscription of a connection whose member has been let in.
    pub(crate) async fn register_subscription(
        &self,
        connection_id: &str,
        connection: &Connection,
        uri: &ChatUri,
    ) -> Result<()> {
        let uris = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![uri.to_string()]);
        let room_for_one = "attribute_exists(pk) AND \
             (attribute_not_exists(uris) OR contains(uris, :uri) OR size(uris) < :most)";
        let writes = vec![
            Write::update(Connection::key(connection_id), "ADD uris :uris")
                .when(room_for_one)
                .value(":uris", uris)
                .text(":uri", uri)
                .number(":most", SUBSCRIPTIONS)
                .otherwise(|connection| match connection {
                    None => Error::NotAuthenticated,
                    Some(_) => {
                        Invalid::field("uri", format!("A connection has at most {SUBSCRIPTIONS} subscriptions.")).into()
                    }
                }),
            Member::still(uri, connection.identity.user_id),
            Write::put(Subscriber::key(uri, connection_id), &connection.subscriber(connection_id))?,
        ];
        self.table().transact(writes).await
    }

    /// Ends a subscription, and says whether there was one.
    pub(crate) async fn end_subscription(&self, connection_id: &str, uri: &ChatUri) -> Result<bool> {
        let uris = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![uri.to_string()]);
        let subscriber = Write::delete(Subscriber::key(uri, connection_id));
        let writes = vec![
            Write::update(Connection::key(connection_id), "DELETE uris :uris")
                .value(":uris", uris)
                .if_present()
                .otherwise(|_| Error::NotFound),
            subscriber.clone().if_present().otherwise(|_| Error::AlreadyDone),
        ];
        match self.table().transact(writes).await {
            Ok(()) => Ok(true),
            // The connection is forgotten already.
            Err(Error::NotFound) => self.table().apply(subscriber).await.map(|_| false),
            Err(Error::AlreadyDone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets a connection, with all its subscriptions. Forgetting one twice is fine.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn drop_connection(&self, connection_id: &str) -> Result<()> {
        // The connection goes first, so that no new subscription can be added to it from here on.
        let Applied::Done(Some(item)) = self.table().apply(Write::delete(Connection::key(connection_id))).await? else {
            return Ok(());
        };
        let Subscriptions { identity, uris } = read(&item)?;
        let keys = uris.iter().map(|uri| Subscriber::key(uri, connection_id));
        let writes: Vec<Write> =
            keys.chain([UserConnection::key(identity.user_id, connection_id)]).map(Write::delete).collect();
        // Whatever goes wrong with one of them, the others go.
        let deleted = stream::iter(writes).map(|write| self.table().apply(write)).buffer_unordered(10);
        deleted.fold(Ok(()), |result: Result<()>, deleted| future::ready(result.and(deleted.map(drop)))).await
    }

    /// The connections of a user.
    pub(crate) async fn connections_of(&self, user_id: UserId) -> Result<Vec<UserConnection>> {
        self.table().pages_under(format!("USER#{user_id}"), "CONNECTION#").all().await
    }

    /// Those connections of a user that are subscribed to a chat.
    pub(crate) async fn subscribed_connections(&self, user_id: UserId, uri: &ChatUri) -> Result<Vec<String>> {
        let ids: Vec<String> =
            self.connections_of(user_id).await?.into_iter().map(|owned| owned.connection_id).collect();
        let found = self.table().get_many(ids.iter().map(|id| Connection::key(id))).await?;
        let mut subscribed = Vec::new();
        for id in ids {
            let subscriptions: Option<Subscriptions> = found.read(&Connection::key(&id))?;
            if subscriptions.is_some_and(|subscriptions| subscriptions.uris.contains(uri)) {
                subscribed.push(id);
            }
        }
        Ok(subscribed)
    }

    /// Forgets a connection that is gone, found as a subscriber of `uri`.
    pub(crate) async fn drop_subscriber(&self, uri: &ChatUri, connection_id: &str) -> Result<()> {
        // The connection first: when the subscriber goes, it is looked at whether its user is still there. The subscriber by itself too, in
        // case an earlier clean-up was cut off in between.
        self.drop_connection(connection_id).await?;
        self.table().apply(Write::delete(Subscriber::key(uri, connection_id))).await.map(drop)
    }

    /// A chat's subscribers, unless they are too many to be served directly.
    pub(crate) async fn few_subscribers(&self, uri: &ChatUri) -> Result<Option<Vec<Subscriber>>> {
        let most = self.limits().large_chat;
        let mut pages = self.table().pages(Subscriber::partition(uri)).limit(most + 1);
        let mut subscribers = Vec::new();
        while subscribers.len() <= most
            && let Some(page) = pages.next().await?
        {
            for item in &page {
                subscribers.push(read(item)?);
            }
        }
        Ok((subscribers.len() <= most).then_some(subscribers))
    }

    /// A shard of a chat's subscribers.
    pub(crate) async fn shard_of_subscribers(&self, uri: &ChatUri, shard: Shard) -> Result<Vec<Subscriber>> {
        self.table().pages_under(Subscriber::partition(uri), &format!("{shard}#")).all().await
    }

    /// A connection as a chat's subscriber, if it is one.
    pub(crate) async fn subscriber(&self, uri: &ChatUri, connection_id: &str) -> Result<Option<Subscriber>> {
        self.table().get(&Subscriber::key(uri, connection_id)).await
    }
}
