//! A user's own profile.

use super::{email, registration::NAME_CHARACTERS};
use crate::{
    Confab, Error, Result,
    auth::user::{Profile, User},
    aws::table::Write,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Changes the e-mail address, first and last name; a field that is missing keeps its value.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn update_profile(&self, user: &User, fields: &Fields) -> Result<User> {
        let changed = changed(user, fields)?;
        if changed == *user {
            return Ok(changed);
        }
        let gone = |_| Error::BadCredentials("User inactive or deleted.");
        self.table().apply(update(&changed).otherwise(gone)).await?;
        Ok(changed)
    }
}

/// The write that stores a user's e-mail address and names.
pub(super) fn update(user: &User) -> Write {
    Write::update(Profile::key(user.id), "SET email = :email, first_name = :first_name, last_name = :last_name")
        .text(":email", &user.email)
        .text(":first_name", &user.first_name)
        .text(":last_name", &user.last_name)
        .if_present()
}

fn changed(user: &User, fields: &Fields) -> Result<User> {
    let mut changed = user.clone();
    let mut invalid = Invalid::default();
    // An imported user may have values that would be invalid here, and can save them again unchanged.
    let is_new = |name, old: &str| fields.get(name).is_some_and(|value| value.as_str() != Some(old));
    if is_new("email", &user.email)
        && let Some(email) = email::read(fields, &mut invalid)
    {
        changed.email = email;
    }
    for (name, target) in [("first_name", &mut changed.first_name), ("last_name", &mut changed.last_name)] {
        let text = Text::optional(name).blank().printable().at_most(NAME_CHARACTERS);
        if is_new(name, target)
            && let Some(value) = text.read(fields, &mut invalid)
        {
            *target = value;
        }
    }
    invalid.unless_empty(changed)
}
