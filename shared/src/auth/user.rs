//! Users: what is stored of them, how they are found, and what others see.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::{address, username::Username};
use crate::{
    Confab, Error, Result,
    aws::table::{BatchItems, Write},
    date::Date,
    ids::UserId,
    key::{Key, Partition},
};

/// A user as others see them.
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
    /// A user who does not exist any more.
    pub(crate) fn deleted(id: UserId) -> Self {
        let nothing = String::new;
        Self { id, username: nothing(), email: nothing(), first_name: nothing(), last_name: nothing() }
    }

    /// Whether the user's account has been deleted: every other user has a name.
    pub(crate) fn is_deleted(&self) -> bool {
        self.username.is_empty()
    }

    /// The user without the e-mail address, as on the exchange and on sockets.
    pub(crate) fn without_email(self) -> Self {
        Self { email: String::new(), ..self }
    }
}

/// A user as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// The public part.
    #[serde(flatten)]
    pub user: User,
    /// A PHC string, or a hash as Django writes it.
    pub password_hash: String,
    /// Counts the changes of the password. Tokens of another epoch are revoked.
    pub epoch: u64,
    /// An inactive user is treated as deleted.
    #[serde(default = "active")]
    pub is_active: bool,
    /// Whether the user is inactive only until they have followed the link in a mail.
    #[serde(default)]
    pub awaits_activation: bool,
    /// Whether the e-mail address leads to the user (`auth/address.rs`).
    #[serde(default)]
    pub is_listed: bool,
    /// The date of the registration.
    pub create_date: Date,
    /// The identity of another system that the account is of: what follows the prefix of its partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

fn active() -> bool {
    true
}

impl Profile {
    pub(crate) fn key(id: UserId) -> Key {
        Partition::User.key(id, "PROFILE")
    }

    /// The writes that create a user. They fail with the error `taken` if the id or the username is taken.
    ///
    /// # Errors
    /// When an item cannot be written as DynamoDB attributes.
    pub(crate) fn create(&self, taken: impl Fn() -> Error + Clone + Send + Sync + 'static) -> Result<Vec<Write>> {
        let mut writes = Username::claim(&self.user.username, self.user.id, taken.clone())?;
        let profile = Write::put(Self::key(self.user.id), self)?.if_absent();
        writes.push(profile.otherwise(move |_| taken()));
        writes.extend(address::list(&self.user.email, self.user.id)?);
        Ok(writes)
    }

    /// As [`Profile::create`] for an imported user, with the name exactly as it is.
    ///
    /// # Errors
    /// When an item cannot be written as DynamoDB attributes.
    pub(crate) fn import(&self, taken: impl Fn() -> Error + Clone + Send + Sync + 'static) -> Result<Vec<Write>> {
        let name = Username::claim_imported(&self.user.username, self.user.id, taken.clone())?;
        let profile = Write::put(Self::key(self.user.id), self)?.if_absent();
        let address = address::list(&self.user.email, self.user.id)?;
        Ok([name, profile.otherwise(move |_| taken())].into_iter().chain(address).collect())
    }
}

/// Takes a user out of the items that were read.
pub(crate) fn take_user(items: &mut BatchItems, id: UserId) -> Result<User> {
    let profile: Option<Profile> = items.take(&Profile::key(id))?;
    Ok(profile.map_or_else(|| User::deleted(id), |profile| profile.user))
}

/// Those of `users` that `ids` names, in that order.
pub(crate) fn in_order(ids: &[UserId], users: &HashMap<UserId, User>) -> Vec<User> {
    ids.iter().filter_map(|id| users.get(id).cloned()).collect()
}

/// The id in a name such as `id:42`, which is another way to name a user. No username has a colon.
pub(crate) fn id_in(name: &str) -> Option<UserId> {
    let digits = name.strip_prefix("id:").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(UserId)
}

impl Confab {
    /// The users with these ids, without their e-mail addresses, in one round trip for each hundred. A deleted user has
    /// nothing but the id, since their messages are still there.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn users(&self, ids: impl IntoIterator<Item = UserId>) -> Result<HashMap<UserId, User>> {
        let ids: HashSet<UserId> = ids.into_iter().collect();
        let mut found = self.table().get_many(ids.iter().map(|id| Profile::key(*id))).await?;
        ids.into_iter().map(|id| Ok((id, take_user(&mut found, id)?.without_email()))).collect()
    }

    /// The profile of a username. It is found in any form; one who has exactly this name comes first.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn profile_by_username(&self, username: &str) -> Result<Option<Profile>> {
        let user_id = match Username::is_possible(username) {
            true => {
                let found = self.table().get_many(Username::lookup_keys(username)).await?;
                Username::find(username, &found.all()?)
            }
            false => None,
        };
        // The second read is made for an unknown username too, so that timing does not tell the two apart.
        self.table().get(Profile::key(user_id.unwrap_or(UserId(0)))).await
    }

    /// The user of a username, or of an id ([`id_in`]).
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(crate) async fn user_named(&self, name: &str) -> Result<Option<User>> {
        let profile = match id_in(name) {
            Some(id) => self.table().get::<Profile>(Profile::key(id)).await?,
            None if Username::is_possible(name) => self.profile_by_username(name).await?,
            None => None,
        };
        Ok(profile.map(|profile| profile.user).filter(|user| !user.is_deleted()))
    }
}
