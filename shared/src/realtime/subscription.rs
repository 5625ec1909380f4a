//! Registering subscriptions.

use crate::{
    Confab, Error, Result,
    aws::table::Write,
    chats::member::Member,
    connections::{connection::Connection, subscriber::Subscriber},
    error::Invalid,
    ids::{ChatUri, ConnectionId},
};

/// The most subscriptions of a connection.
const SUBSCRIPTIONS: usize = 100;

impl Confab {
    /// Subscribes a connection to a chat that its user is a member of; idempotent.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] where the connection has been dropped; [`Error::Forbidden`] where the user has left;
    /// [`Error::Invalid`] for too many subscriptions.
    pub(crate) async fn register_subscription(
        &self,
        connection_id: &ConnectionId,
        connection: &Connection,
        uri: &ChatUri,
    ) -> Result<()> {
        let fits = "attribute_exists(pk) AND \
             (attribute_not_exists(uris) OR contains(uris, :uri) OR size(uris) < :most)";
        let writes = vec![
            Write::update(Connection::key(connection_id), "ADD uris :uris")
                .when(fits)
                .texts(":uris", [uri])
                .text(":uri", uri.to_string())
                .number(":most", SUBSCRIPTIONS)
                .otherwise(|connection| match connection {
                    None => Error::NotAuthenticated,
                    Some(_) => too_many_subscriptions(),
                }),
            Member::require(uri, connection.identity.user_id),
            Write::put(Subscriber::key(uri, connection_id), &connection.subscriber(connection_id))?,
        ];
        self.table().transact(writes).await
    }
}

fn too_many_subscriptions() -> Error {
    Invalid::field("uri", format!("A connection has at most {SUBSCRIPTIONS} subscriptions.")).into()
}
