//! Users: who they are, how they are found, and what others see of them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::{
    Confab, Error, Result,
    accounts::registration,
    aws::table::{Applied, BatchItems, Key, Write},
    date::Date,
    error::Invalid,
    ids::UserId,
    input::fields::{Fields, Text},
};

/// A username is at most so many characters long.
pub const USERNAME_CHARACTERS: usize = 150;
/// A first or last name is at most so many characters long, as Django has it.
pub const NAME_CHARACTERS: usize = 150;

/// What everybody who shares a chat with a user sees of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The unique name.
    pub username: String,
    /// The e-mail address, or an empty string.
    pub email: String,
    /// The first name, or an empty string.
    pub first_name: String,
    /// The last name, or an empty string.
    pub last_name: String,
}

impl User {
    fn gone(id: UserId) -> Self {
        let nothing = String::new;
        Self { id, username: nothing(), email: nothing(), first_name: nothing(), last_name: nothing() }
    }

    /// Leaves the e-mail address out, as it is left out of everything that goes to the exchange and to sockets.
    pub(crate) fn hide_email(&mut self) {
        self.email.clear();
    }

    /// The user without the e-mail address.
    pub(crate) fn without_email(mut self) -> Self {
        self.hide_email();
        self
    }
}

/// A user as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// What others see.
    #[serde(flatten)]
    pub user: User,
    /// A PHC string, or a hash as Django writes it.
    pub password_hash: String,
    /// Counts the changes of the password. A token of another epoch is as good as deleted.
    pub epoch: u64,
    /// A user who is not active is treated as if deleted.
    #[serde(default = "active")]
    pub is_active: bool,
    /// When the user registered.
    pub create_date: Date,
}

fn active() -> bool {
    true
}

/// The item that makes a username unique and leads from it to the user.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Username {
    pub(crate) user_id: UserId,
}

impl Profile {
    pub(crate) fn key(id: UserId) -> Key {
        Key::new(format!("USER#{id}"), "PROFILE")
    }

    /// The writes by which a user comes to be. They fail with the error `taken` if the id or the username is.
    pub(crate) fn register(&self, taken: impl Fn() -> Error + Clone + Send + Sync + 'static) -> Result<Vec<Write>> {
        let username = Username { user_id: self.user.id };
        let username = Write::put(Username::key(&self.user.username), &username)?.if_absent();
        let profile = Write::put(Self::key(self.user.id), self)?.if_absent();
        let also_taken = taken.clone();
        Ok(vec![username.otherwise(move |_| taken()), profile.otherwise(move |_| also_taken())])
    }
}

impl Username {
    /// Whether there can be such a username at all. DynamoDB refuses keys above 2 KB, and empty ones.
    pub(crate) fn is_possible(username: &str) -> bool {
        !username.is_empty() && username.chars().count() <= USERNAME_CHARACTERS
    }

    pub(crate) fn key(username: &str) -> Key {
        Key::new(format!("USERNAME#{username}"), "USERNAME")
    }
}

/// A user among the items that were read.
pub(crate) fn found_user(found: &BatchItems, id: UserId) -> Result<User> {
    let profile: Option<Profile> = found.read(&Profile::key(id))?;
    Ok(profile.map_or_else(|| User::gone(id), |profile| profile.user))
}

/// A username in the one form that is stored and looked up: NFKC, as Django normalises it.
pub fn normalized(username: &str) -> String {
    username.nfkc().collect()
}

/// The id in a name such as `id:42`, by which a user can be named too. No username has a colon.
pub(crate) fn id_in(name: &str) -> Option<UserId> {
    let digits = name.strip_prefix("id:").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(UserId)
}

impl Confab {
    /// The users with these ids, without their e-mail addresses, in one round trip for each hundred. One who is not there any more is
    /// shown with nothing but the id, since what they said is still there.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn users(&self, ids: impl IntoIterator<Item = UserId>) -> Result<HashMap<UserId, User>> {
        let ids: Vec<UserId> = ids.into_iter().collect();
        let found = self.table().get_many(ids.iter().map(|&id| Profile::key(id))).await?;
        ids.into_iter().map(|id| Ok((id, found_user(&found, id)?.without_email()))).collect()
    }

    /// The profile behind a username, exactly as it is stored.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn profile_by_username(&self, username: &str) -> Result<Option<Profile>> {
        let user_id = match Username::is_possible(username) {
            true => self.table().get::<Username>(&Username::key(username)).await?.map(|found| found.user_id),
            false => None,
        };
        // The second read is made for an unknown username too, so that both cases take as long.
        self.table().get(&Profile::key(user_id.unwrap_or(UserId(0)))).await
    }

    /// The user of a username, or of an id as [`id_in`] reads it.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<User>> {
        let profile = match id_in(name) {
            Some(id) => self.table().get::<Profile>(&Profile::key(id)).await?,
            None if Username::is_possible(name) => self.profile_by_username(name).await?,
            None => None,
        };
        Ok(profile.map(|profile| profile.user))
    }

    /// Changes what a user may change of themselves: e-mail address, first and last name. `whole` is PUT, where a field
    /// left out keeps its value all the same, as none of them is required.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the fields that are wrong.
    pub async fn update_profile(&self, user: &User, fields: &Fields) -> Result<User> {
        let mut changed = user.clone();
        let mut invalid = Invalid::default();
        // Who comes from Django may have what would not be taken here, and can save it again unchanged.
        let is_new = |name, old: &str| fields.get(name).is_some_and(|value| value.as_str() != Some(old));
        if is_new("email", &user.email)
            && let Some(email) = registration::email(fields, &mut invalid)
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
        invalid.unless_empty(())?;
        if changed == *user {
            return Ok(changed);
        }
        let update = Write::update(
            Profile::key(user.id),
            "SET email = :email, first_name = :first_name, last_name = :last_name",
        )
        .text(":email", &changed.email)
        .text(":first_name", &changed.first_name)
        .text(":last_name", &changed.last_name)
        .if_present();
        match self.table().apply(update).await? {
            Applied::Done(_) => Ok(changed),
            Applied::ConditionFailed(_) => Err(Error::BadCredentials("User inactive or deleted.")),
        }
    }
}
