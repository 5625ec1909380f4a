//! WebSocket connections and what they are subscribed to.
//!
//! A connection is known by its id, by its user (so that logging out finds it) and, once subscribed, by the room (so that the
//! fan-out finds it). All three expire by themselves, for API Gateway does not promise to tell of every disconnect.

use futures_util::{StreamExt, future, stream};
use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    date::Date,
    error::Invalid,
    session::{Member, Uri},
    table::{Applied, Key, Refusal, Write, read},
    token::{Token, TokenHash},
    user::{Profile, UserId},
    visit::Identity,
};

/// API Gateway ends a connection after two hours
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>);
/// ten minutes more allow for clocks and a late `$connect`.
const LIFETIME_SECONDS: i64 = 2 * 3600 + 600;

/// A connection may be subscribed to so many chats at once.
pub const SUBSCRIPTIONS: usize = 100;

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
    uris: Vec<Uri>,
}

/// A connection among its user's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Owned {
    pub(crate) connection_id: String,
    pub(crate) token: TokenHash,
    expires_at: i64,
}

/// A connection among a room's subscribers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Subscriber {
    pub(crate) connection_id: String,
    pub(crate) connect_date: Date,
    user_id: UserId,
    expires_at: i64,
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

impl Owned {
    fn key(user_id: UserId, connection_id: &str) -> Key {
        Key::new(format!("USER#{user_id}"), format!("CONNECTION#{connection_id}"))
    }
}

impl Subscriber {
    fn key(uri: &Uri, connection_id: &str) -> Key {
        Key::new(format!("SUBSCRIBERS#{uri}"), connection_id)
    }
}

impl Confab {
    /// Lets a connection in, and subscribes it at once where it names a chat.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`], [`Error::BadCredentials`], and for a chat as [`crate::visit::Visit::as_member`].
    pub async fn connect(&self, connection_id: &str, token: Option<&Token>, uri: Option<&str>) -> Result<()> {
        let identity = Identity::from(token.ok_or(Error::NotAuthenticated)?);
        let (caller, uri) = match uri {
            Some(uri) => {
                let visit = self.visit(token, uri.parse().ok(), None).await?;
                let uri = visit.as_member()?.uri.clone();
                (visit.caller, Some(uri))
            }
            None => (self.authenticate(token).await?, None),
        };
        let connect_date = Date::now();
        let expires_at = connect_date.epoch_seconds() + LIFETIME_SECONDS;
        let connection = Connection { identity, connect_date, expires_at };
        let Identity { user_id, token } = &connection.identity;
        let owned = Owned { connection_id: connection_id.to_owned(), token: token.clone(), expires_at };
        let writes = vec![
            // Logging out deletes the token, a new password starts a new epoch, and both then look for connections: with these
            // checks none slips through.
            Write::check(connection.identity.key(), "attribute_exists(pk)"),
            Write::check(Profile::key(*user_id), "epoch = :epoch").number(":epoch", caller.epoch),
            Write::put(Connection::key(connection_id), &connection)?,
            Write::put(Owned::key(*user_id, connection_id), &owned)?,
        ];
        if self.table().transact(writes).await?.is_some() {
            return Err(Error::BadCredentials("Invalid token."));
        }
        match uri {
            Some(uri) => self.register_subscription(connection_id, &connection, &uri).await,
            None => Ok(()),
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
        uri: &Uri,
    ) -> Result<()> {
        let uris = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![uri.to_string()]);
        let room_for_one = "attribute_exists(pk) AND \
             (attribute_not_exists(uris) OR contains(uris, :uri) OR size(uris) < :most)";
        let writes = vec![
            Write::update(Connection::key(connection_id), "ADD uris :uris")
                .when(room_for_one)
                .value(":uris", uris)
                .text(":uri", uri)
                .number(":most", SUBSCRIPTIONS),
            Member::still(uri, connection.identity.user_id),
            Write::put(Subscriber::key(uri, connection_id), &connection.subscriber(connection_id))?,
        ];
        match self.table().transact(writes).await? {
            None => Ok(()),
            Some(Refusal { index: 0, item: None }) => Err(Error::NotAuthenticated),
            Some(Refusal { index: 0, item: Some(_) }) => {
                Err(Invalid::field("uri", format!("A connection has at most {SUBSCRIPTIONS} subscriptions.")).into())
            }
            Some(_) => Err(Error::Forbidden("You are not a member of this chat.")),
        }
    }

    /// Ends a subscription; ending one that does not exist is fine.
    pub(crate) async fn end_subscription(&self, connection_id: &str, uri: &Uri) -> Result<()> {
        let uris = aws_sdk_dynamodb::types::AttributeValue::Ss(vec![uri.to_string()]);
        let subscriber = Write::delete(Subscriber::key(uri, connection_id));
        let writes = vec![
            Write::update(Connection::key(connection_id), "DELETE uris :uris").value(":uris", uris).if_present(),
            subscriber.clone(),
        ];
        match self.table().transact(writes).await? {
            None => Ok(()),
            // The connection is forgotten already.
            Some(_) => self.table().apply(subscriber).await.map(drop),
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
        let writes: Vec<Write> = keys.chain([Owned::key(identity.user_id, connection_id)]).map(Write::delete).collect();
        // Whatever goes wrong with one of them, the others go.
        let deleted = stream::iter(writes).map(|write| self.table().apply(write)).buffer_unordered(10);
        deleted.fold(Ok(()), |result: Result<()>, deleted| future::ready(result.and(deleted.map(drop)))).await
    }

    /// Forgets a connection that is gone, found as a subscriber of `uri`.
    pub(crate) async fn drop_subscriber(&self, uri: &Uri, connection_id: &str) -> Result<()> {
        // By itself too, in case an earlier clean-up was cut off after the connection and before this.
        self.table().apply(Write::delete(Subscriber::key(uri, connection_id))).await?;
        self.drop_connection(connection_id).await
    }

    pub(crate) async fn subscribers(&self, uri: &Uri) -> Result<Vec<Subscriber>> {
        self.table().pages(format!("SUBSCRIBERS#{uri}")).all().await
    }
}
