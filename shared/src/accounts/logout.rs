//! Logout: of one token, or of all.

use crate::{
    Confab, Result,
    auth::{authentication::Caller, token::StoredToken, user::Profile},
    aws::table::Write,
    ids::UserId,
};

impl Confab {
    /// Revokes the caller's token and closes its sockets. The token goes first, so that no new socket can open in
    /// between.
    ///
    /// # Errors
    /// When the table or the sockets fail.
    pub async fn log_out(&self, caller: &Caller) -> Result<()> {
        self.table().apply(Write::delete(StoredToken::key(caller.user.id, &caller.token))).await?;
        self.close_unauthorized_sockets(caller.user.id).await
    }

    /// Revokes all tokens of the caller, including the one of this request, and closes all sockets.
    ///
    /// # Errors
    /// When the table or the sockets fail.
    pub async fn log_out_everywhere(&self, caller: &Caller) -> Result<()> {
        // The new epoch revokes all tokens at once, and one that a concurrent login is about to issue. If there is one
        // already, another request has changed the password or done this.
        let epoch = Write::update(Profile::key(caller.user.id), "SET epoch = :next")
            .when("epoch = :epoch")
            .number(":epoch", caller.epoch)
            .number(":next", caller.epoch + 1);
        self.table().attempt(epoch).await?;
        self.end_earlier_epochs(caller.user.id, caller.epoch + 1).await
    }

    /// Closes the sockets of a user's tokens of epochs before `epoch`, and deletes those tokens, which are revoked
    /// already.
    pub(super) async fn end_earlier_epochs(&self, user_id: UserId, epoch: u64) -> Result<()> {
        let closed = self.close_unauthorized_sockets(user_id).await;
        let revoked = self.tokens_of(user_id).await?.into_iter().filter(|keyed| keyed.token.epoch < epoch);
        self.table().write_many(revoked.map(|keyed| Write::delete(keyed.key)).collect()).await?;
        closed
    }
}
