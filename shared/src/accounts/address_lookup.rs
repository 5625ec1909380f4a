//! Finding users by their e-mail address. Users from before there were items for it (`auth/address.rs`) get theirs with
//! their next login.

use crate::{
    Confab, Error, Result,
    auth::{
        address::{self, AddressItem},
        user::Profile,
    },
    aws::table::Write,
    key::{Key, Partition},
};

/// The most users of an address that are found, the oldest first: somebody may register many with another's address.
const USERS: usize = 10;

impl Confab {
    /// Makes a user findable who registered before addresses could be looked up.
    ///
    /// # Errors
    /// When the table fails.
    pub(super) async fn list_address(&self, profile: &Profile) -> Result<()> {
        let user = &profile.user;
        let listed = Write::update(Profile::key(user.id), "SET is_listed = :yes")
            .when("email = :email")
            .serialized(":yes", &true)?
            .text(":email", &user.email)
            .otherwise(|_| Error::Changed);
        let writes = address::list(&user.email, user.id)?.into_iter().chain([listed]).collect();
        match self.table().transact(writes).await {
            // Changing the address has listed the new one.
            Err(Error::Changed) => Ok(()),
            ended => ended,
        }
    }

    /// The profiles of the users with an address.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub(super) async fn profiles_by_address(&self, email: &str) -> Result<Vec<Profile>> {
        let Some(wanted) = address::normalized(email) else { return Ok(Vec::new()) };
        let pages = self.table().pages(Partition::Address.of(&wanted)).limit(USERS);
        let items: Vec<AddressItem> = pages.up_to(USERS).await?;
        let keys: Vec<Key> = items.iter().take(USERS).map(|item| Profile::key(item.user_id)).collect();
        let mut found = self.table().get_many(keys.clone()).await?;
        let profiles = keys.iter().filter_map(|key| found.take::<Profile>(key).transpose());
        let profiles: Vec<Profile> = profiles.collect::<Result<_>>()?;
        Ok(profiles
            .into_iter()
            .filter(|profile| address::normalized(&profile.user.email).as_ref() == Some(&wanted))
            .collect())
    }
}
