//! Changing the username.

use super::{current_password::wrong_password, password::PASSWORD_CHARACTERS, rate_limit::Rate};
use crate::{
    Confab, Error, Result,
    auth::{
        authentication::Caller,
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
        let new = username::normalized(&new.unwrap_or_default());
        if new == caller.user.username {
            return Err(taken());
        }
        self.table().transact(new_username(caller, &new)?).await
    }
}

/// The new name is taken, the old one given up and the profile changed, all or nothing.
fn new_username(caller: &Caller, new: &str) -> Result<Vec<Write>> {
    let (id, old) = (caller.user.id, &caller.user.username);
    Ok(vec![
        Write::put(Username::key(new), &Username { user_id: id })?.if_absent().otherwise(|_| taken()),
        // Another request changed the password or the name since they were read.
        Write::update(Profile::key(id), "SET username = :new")
            .when("password_hash = :hash AND epoch = :epoch AND username = :old")
            .text(":new", new)
            .text(":old", old)
            .text(":hash", &caller.password_hash)
            .number(":epoch", caller.epoch)
            .otherwise(|_| wrong_password()),
        Write::delete(Username::key(old)).when("user_id = :id").number(":id", id).otherwise(|_| Error::Busy(None)),
    ])
}

fn taken() -> Error {
    Invalid::field("new_username", username::TAKEN).into()
}
