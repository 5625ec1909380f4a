//! Changing the username.

use super::{current_password::wrong_password, password::PASSWORD_CHARACTERS, rate_limit::Rate};
use crate::{
    Confab, Error, Result,
    auth::{
        authentication::Caller,
        name_forms,
        user::Profile,
        username::{self, Username},
    },
    aws::table::Write,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Changes the caller's username. Tokens stay valid, and the old name is free at once, as with djoser.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Throttled`].
    pub async fn change_username(&self, caller: &Caller, fields: &Fields) -> Result<()> {
        let mut invalid = Invalid::default();
        let current = Text::required("current_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        let new = username::read("new_username", fields, &mut invalid);
        invalid.unless_empty(())?;
        self.require_password(caller, current.unwrap_or_default()).await?;
        // The answer tells whether somebody has the name, so it counts like inviting them.
        self.throttle(Rate::Lookups, caller.user.id, 1).await?;
        let new = name_forms::normalized(&new.unwrap_or_default());
        if new == caller.user.username {
            return Err(taken());
        }
        let mut writes = vec![renamed(caller, &new)];
        writes.extend(Username::claim(&new, caller.user.id, taken)?);
        writes.extend(self.release_username(&caller.user.username, caller.user.id, &new).await?);
        self.table().transact(writes).await
    }
}

/// The write that changes the profile, unless another request has changed the password or the name.
fn renamed(caller: &Caller, new: &str) -> Write {
    Write::update(Profile::key(caller.user.id), "SET username = :new")
        .when("password_hash = :hash AND epoch = :epoch AND username = :old")
        .text(":new", new)
        .text(":old", &caller.user.username)
        .text(":hash", &caller.password_hash)
        .number(":epoch", caller.epoch)
        .otherwise(|_| wrong_password())
}

fn taken() -> Error {
    Invalid::field("new_username", username::TAKEN).into()
}
