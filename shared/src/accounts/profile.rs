//! A user's own profile.

use super::{email, registration::NAME_CHARACTERS};
use crate::{
    Confab, Error, Result,
    auth::{
        address,
        user::{Profile, User},
    },
    aws::table::Write,
    error::Invalid,
    ids::UserId,
    input::{fields::Fields, text::Text},
};

/// Attempts at a change while other requests change the same profile.
const ATTEMPTS: usize = 5;

impl Confab {
    /// Changes the e-mail address, first and last name; a field that is missing keeps its value.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn update_profile(&self, user: &User, fields: &Fields) -> Result<User> {
        let mut user = user.clone();
        for _ in 0..ATTEMPTS {
            let changed = changed(&user, fields)?;
            if changed == user {
                return Ok(changed);
            }
            match self.save_profile(&user, &changed).await {
                Err(Error::Changed) => user = self.active_user(user.id).await?,
                saved => return saved.map(|()| changed),
            }
        }
        Err(Error::Busy(None))
    }

    async fn active_user(&self, id: UserId) -> Result<User> {
        let mut found = self.table().get_many([Profile::key(id)]).await?;
        let profile: Option<Profile> = found.take(&Profile::key(id))?;
        let profile = profile.filter(|profile| profile.is_active);
        profile.map(|profile| profile.user).ok_or_else(Error::inactive_user)
    }

    /// Writes the e-mail address, first and last name of a user as they are `changed`.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] without an account; [`Error::Changed`] if the username or the address has changed.
    pub(super) async fn save_profile(&self, user: &User, changed: &User) -> Result<()> {
        let set = "SET email = :email, first_name = :first_name, last_name = :last_name";
        let is_new_address = changed.email != user.email;
        let update = Write::update(
            Profile::key(user.id),
            &if is_new_address { format!("{set}, is_listed = :yes") } else { set.to_owned() },
        )
        .when("email = :old AND username = :username")
        .text(":old", &user.email)
        .text(":username", &user.username)
        .text(":email", &changed.email)
        .text(":first_name", &changed.first_name)
        .text(":last_name", &changed.last_name)
        .otherwise(|profile| match profile {
            // Another request has changed the address, which leads to the user, or the name.
            Some(_) => Error::Changed,
            None => Error::inactive_user(),
        });
        if is_new_address {
            let mut writes = vec![update.serialized(":yes", &true)?];
            writes.extend(address::relist(&user.email, &changed.email, user.id)?);
            self.table().transact(writes).await
        } else {
            self.table().apply(update).await.map(drop)
        }
    }
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
