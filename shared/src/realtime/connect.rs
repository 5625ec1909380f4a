//! Opening a connection.

use crate::{
    Confab, Error, Result,
    auth::{authentication::Identity, token::Token, user::Profile},
    aws::table::Write,
    connections::connection::Connection,
    ids::{ChatUri, ConnectionId},
};

impl Confab {
    /// Opens a connection, and subscribes it at once where it names a chat.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`]; [`Error::BadCredentials`]; for a chat as
    /// [`crate::chats::access::ChatAccess::require_member`].
    pub async fn connect(&self, connection_id: &ConnectionId, token: Option<&Token>, uri: Option<&str>) -> Result<()> {
        let identity = Identity::from(token.ok_or(Error::NotAuthenticated)?);
        let (caller, uri): (_, Option<ChatUri>) = match uri {
            Some(uri) => {
                let access = self.authorize(token, uri.parse().ok(), None).await?;
                let uri = access.require_member()?.uri.clone();
                (access.caller, Some(uri))
            }
            None => (self.authenticate(token).await?, None),
        };
        let user_id = identity.user_id;
        // Logging out deletes the token, a new password starts a new epoch, and both then look for connections: these
        // checks close the gap.
        let revoked = |_| Error::BadCredentials("Invalid token.");
        let mut writes = vec![
            Write::check(identity.key(), "attribute_exists(pk)").otherwise(revoked),
            Write::check(Profile::key(user_id), "epoch = :epoch").number(":epoch", caller.epoch).otherwise(revoked),
        ];
        let connection = Connection::new(identity, &caller);
        writes.extend(connection.put(connection_id)?);
        self.table().transact(writes).await?;
        self.close_surplus_sockets(user_id, connection_id).await;
        match uri {
            Some(uri) => {
                let registered = self.register_subscriptions(connection_id, connection, &[uri]).await?;
                registered.into_iter().try_for_each(|chat| chat.map(drop))
            }
            None => Ok(()),
        }
    }
}
