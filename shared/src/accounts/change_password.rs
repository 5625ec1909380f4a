//! Changing the password.

use super::{
    current_password::wrong_password,
    password::{self, PASSWORD_CHARACTERS},
};
use crate::{
    Confab, Result,
    auth::{authentication::Caller, token::StoredToken, user::Profile},
    aws::table::Write,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Changes the caller's password, revokes every other token of theirs and closes their sockets.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`]; [`crate::Error::Throttled`].
    pub async fn change_password(&self, caller: &Caller, fields: &Fields) -> Result<()> {
        let mut invalid = Invalid::default();
        let current = Text::required("current_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        let new = Text::required("new_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        invalid.unless_empty(())?;
        let (current, new) = (current.unwrap_or_default(), new.unwrap_or_default());
        self.require_password(caller, current).await?;
        password::require_strong("new_password", &new, &caller.user)?;
        self.table().transact(new_password(caller, password::hash(new).await?)).await?;
        self.end_earlier_epochs(caller.user.id, caller.epoch + 1).await
    }
}

/// The new epoch revokes every other token at once, and one that a concurrent login is about to issue.
fn new_password(caller: &Caller, hash: String) -> Vec<Write> {
    let next = caller.epoch + 1;
    // Another request changed the password, or revoked this token, since it was verified.
    vec![
        Write::update(Profile::key(caller.user.id), "SET password_hash = :new, epoch = :next")
            .when("password_hash = :old AND epoch = :epoch")
            .text(":new", hash)
            .text(":old", &caller.password_hash)
            .number(":epoch", caller.epoch)
            .number(":next", next)
            .otherwise(|_| wrong_password()),
        Write::update(StoredToken::key(caller.user.id, &caller.token), "SET epoch = :next")
            .if_present()
            .number(":next", next)
            .otherwise(|_| wrong_password()),
    ]
}
