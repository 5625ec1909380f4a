//! Registering subscriptions.
//!
//! **Invariant.** Only the chats of members are registered, so that no stranger is a subscriber for a moment. A
//! connection names the chats that it is subscribed to before it becomes a subscriber of them, and both are compared
//! with the memberships afterwards. So whatever drops the connection or ends the membership meanwhile either finds the
//! subscription or is found. If the function fails in between, `reconcile` compares again, since the stream reports each
//! new subscriber.
//!
//! A transaction for each chat would do, too, but all of them would contain the connection's item, and DynamoDB cancels
//! transactions that overlap
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling>).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::{StreamExt, TryStreamExt, future, stream};

use crate::{
    Confab, Error, Result,
    aws::table::{Applied, Write, read},
    chats::snapshot::ChatSnapshot,
    connections::{connection::Connection, subscriber::Subscriber},
    error::Invalid,
    ids::{ChatUri, ConnectionId, UserId},
};

/// The most subscriptions of a connection.
pub(crate) const SUBSCRIPTIONS: usize = 100;
/// Attempts at adding to the subscriptions of a connection that is almost full, which others are adding to.
const ATTEMPTS: usize = 5;
/// Subscriptions that are ended concurrently.
const CONCURRENT_ENDS: usize = 10;
/// Chats that are read concurrently.
const CONCURRENT_READS: usize = 16;
/// Connections whose new subscriptions are checked concurrently.
const CONCURRENT_CHECKS: usize = 10;

/// A subscription that the table's stream reports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NewSubscription {
    pub(super) uri: ChatUri,
    pub(super) user_id: UserId,
    pub(super) connection_id: ConnectionId,
}

impl Confab {
    /// Subscribes a connection to chats: for each the chat as it is after the registration, or why not. `None` is an
    /// unknown chat. Idempotent.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] where the connection has been dropped; [`Error::BadCredentials`].
    pub(crate) async fn subscribe(
        &self,
        connection_id: &ConnectionId,
        uris: &[Option<ChatUri>],
    ) -> Result<Vec<Result<ChatSnapshot>>> {
        let connection = self.connection(connection_id).await?;
        let authorized = self.authorize_for_chats(connection.identity.clone(), uris).await?;
        let allowed: Vec<ChatUri> = authorized.iter().flatten().cloned().collect();
        let mut registered = self.register_subscriptions(connection_id, connection, &allowed).await?.into_iter();
        let chats =
            authorized.into_iter().map(|uri| uri.and_then(|_| registered.next().unwrap_or(Err(Error::NotFound))));
        Ok(chats.collect())
    }

    /// Registers subscriptions to different chats that the connection's user is a member of: for each the chat as it is
    /// afterwards, or why not.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] where the connection has been dropped.
    pub(super) async fn register_subscriptions(
        &self,
        connection_id: &ConnectionId,
        connection: Connection,
        uris: &[ChatUri],
    ) -> Result<Vec<Result<ChatSnapshot>>> {
        let subscriber = connection.subscriber(connection_id);
        let user_id = connection.identity.user_id;
        let added = self.add_subscriptions(connection_id, connection, uris).await?;
        let named: Vec<&ChatUri> = uris.iter().filter(|uri| added.uris.contains(uri)).collect();
        let puts = named.iter().map(|uri| Write::put(Subscriber::key(uri, connection_id), &subscriber));
        self.table().write_many(puts.collect::<Result<_>>()?).await?;
        let mut confirmed = self.confirm_subscriptions(connection_id, user_id, &named).await?.into_iter();
        let chat = |uri| match added.uris.contains(uri) {
            true => confirmed.next().unwrap_or(Err(Error::NotFound)),
            false => Err(too_many_subscriptions()),
        };
        Ok(uris.iter().map(chat).collect())
    }

    /// Adds chats to the connection's item, in one write, as many as it may have; returns the connection as it is then.
    async fn add_subscriptions(
        &self,
        connection_id: &ConnectionId,
        mut connection: Connection,
        uris: &[ChatUri],
    ) -> Result<Connection> {
        for _ in 0..ATTEMPTS {
            let room = SUBSCRIPTIONS.saturating_sub(connection.uris.len());
            let new: Vec<&ChatUri> = uris.iter().filter(|uri| !connection.uris.contains(uri)).take(room).collect();
            if new.is_empty() {
                return Ok(connection);
            }
            let add = Write::update(Connection::key(connection_id), "ADD uris :uris")
                .when("attribute_exists(pk) AND (attribute_not_exists(uris) OR size(uris) <= :room)")
                .texts(":uris", &new)
                .number(":room", SUBSCRIPTIONS - new.len());
            match self.table().attempt(add).await? {
                Applied::Done(Some(item)) => return read(item),
                Applied::ConditionFailed(Some(item)) => connection = read(item)?,
                Applied::Done(None) | Applied::ConditionFailed(None) => return Err(Error::NotAuthenticated),
            }
        }
        Err(Error::Busy(None))
    }

    /// Compares subscriptions that were just registered with the connection and the memberships, and ends those that
    /// may not be: for each the chat, or why not.
    async fn confirm_subscriptions(
        &self,
        connection_id: &ConnectionId,
        user_id: UserId,
        uris: &[&ChatUri],
    ) -> Result<Vec<Result<ChatSnapshot>>> {
        let connection = self.table().get::<Connection>(Connection::key(connection_id));
        let members = self.memberships(uris.iter().map(|uri| (user_id, (*uri).clone())));
        let reads: Vec<_> = uris.iter().map(|uri| self.chat_snapshot(uri)).collect();
        let found = stream::iter(reads).buffered(CONCURRENT_READS).try_collect::<Vec<_>>();
        let (connection, members, found) = future::try_join3(connection, members, found).await?;
        let confirmed = uris.iter().zip(found).map(|(uri, chat)| {
            let chat = chat.ok_or(Error::NotFound)?;
            let is_named = connection.as_ref().is_some_and(|connection| connection.uris.contains(*uri));
            match members.contains(&(user_id, (*uri).clone())) {
                false => Err(Error::not_a_member()),
                // It was ended by a concurrent request, and the client may try again.
                true if !is_named => Err(Error::Busy(None)),
                true => Ok(chat),
            }
        });
        let chats: Vec<Result<ChatSnapshot>> = confirmed.collect();
        let ended = uris.iter().zip(&chats).filter(|(_, chat)| chat.is_err()).map(|(uri, _)| *uri);
        let end = async |uri: &ChatUri| match &connection {
            Some(connection) if connection.uris.contains(uri) => {
                self.end_subscription(connection_id, uri).await.map(drop)
            }
            _ => self.drop_orphan(uri, connection_id).await,
        };
        let ends = stream::iter(ended.collect::<Vec<_>>()).map(end).buffer_unordered(CONCURRENT_ENDS);
        ends.fold(Ok(()), async |all: Result<()>, one| all.and(one)).await?;
        if connection.is_none() { Err(Error::NotAuthenticated) } else { Ok(chats) }
    }
}

impl Confab {
    /// Ends those of some new subscriptions that may not be, in case the function that registered them was cut off.
    /// Each has a place; returns the first place that failed.
    pub(super) async fn check_subscriptions(&self, subscriptions: BTreeMap<NewSubscription, usize>) -> Option<usize> {
        let Ok(states) = self.subscription_states(subscriptions.keys()).await.inspect_err(Error::log) else {
            return subscriptions.into_values().min();
        };
        // Those of one connection in turn: concurrent transactions on its item would conflict.
        let mut by_connection: BTreeMap<&ConnectionId, Vec<(&NewSubscription, usize)>> = BTreeMap::new();
        for (subscription, place) in &subscriptions {
            by_connection.entry(&subscription.connection_id).or_default().push((subscription, *place));
        }
        let check = async |subscriptions: Vec<(&NewSubscription, usize)>| {
            let mut failed = Vec::new();
            for (subscription, place) in subscriptions {
                // A failure of one does not prevent the others.
                let checked = self.check_subscription(subscription, &states).await.inspect_err(Error::log);
                failed.extend(checked.err().map(|_| place));
            }
            failed
        };
        let checks = stream::iter(by_connection.into_values()).map(check).buffer_unordered(CONCURRENT_CHECKS);
        checks.concat().await.into_iter().min()
    }

    async fn check_subscription(&self, subscription: &NewSubscription, states: &SubscriptionStates) -> Result<()> {
        let NewSubscription { uri, user_id, connection_id } = subscription;
        if !states.connections.get(connection_id).is_some_and(|connection| connection.uris.contains(uri)) {
            self.drop_orphan(uri, connection_id).await?;
        }
        if !states.members.contains(&(*user_id, uri.clone())) {
            self.evict(uri, *user_id).await?;
        }
        Ok(())
    }

    async fn subscription_states(
        &self,
        subscriptions: impl Iterator<Item = &NewSubscription> + Clone,
    ) -> Result<SubscriptionStates> {
        let members = subscriptions.clone().map(|subscription| (subscription.user_id, subscription.uri.clone()));
        let keys = subscriptions.clone().map(|subscription| Connection::key(&subscription.connection_id));
        let (members, mut found) = future::try_join(self.memberships(members), self.table().get_many(keys)).await?;
        let mut connections = HashMap::new();
        for NewSubscription { connection_id, .. } in subscriptions {
            if let Some(connection) = found.take(&Connection::key(connection_id))? {
                connections.insert(connection_id.clone(), connection);
            }
        }
        Ok(SubscriptionStates { connections, members })
    }
}

/// The connections and memberships of some subscriptions.
struct SubscriptionStates {
    connections: HashMap<ConnectionId, Connection>,
    members: BTreeSet<(UserId, ChatUri)>,
}

fn too_many_subscriptions() -> Error {
    Invalid::field("uri", format!("A connection has at most {SUBSCRIPTIONS} subscriptions.")).into()
}
