//! Registration, with the checks and texts of djoser.

use std::net::IpAddr;

use super::{
    email, membership_count,
    password::{self, PASSWORD_CHARACTERS},
};
use crate::{
    Confab, Error, Result,
    auth::{
        name_forms::normalized,
        user::{Profile, User},
        username,
    },
    date::Date,
    error::Invalid,
    id_sequence::IdSequence,
    ids::UserId,
    input::{fields::Fields, text::Text},
};

/// The longest first or last name, in characters, as Django has it.
pub(super) const NAME_CHARACTERS: usize = 150;

/// The fields of a registration, as they were sent.
struct Registration {
    username: Option<String>,
    password: Option<String>,
    email: String,
    first_name: String,
    last_name: String,
    invalid: Invalid,
}

impl Registration {
    fn read(fields: &Fields) -> Self {
        let mut invalid = Invalid::default();
        let username = username::read("username", fields, &mut invalid);
        let password = Text::required("password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        let email = email::read(fields, &mut invalid).unwrap_or_default();
        let mut name = |name| {
            let name = Text::optional(name).blank().printable().at_most(NAME_CHARACTERS);
            name.read(fields, &mut invalid).unwrap_or_default()
        };
        let (first_name, last_name) = (name("first_name"), name("last_name"));
        Self { username, password, email, first_name, last_name, invalid }
    }
}

impl Confab {
    /// Registers a user who calls from `source`.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Throttled`]; [`Error::NotConfigured`] if accounts must be activated and no mail can
    /// be sent.
    pub async fn register(&self, fields: &Fields, source: Option<IpAddr>) -> Result<Profile> {
        let requires_activation = self.requires_activation()?;
        let Registration { username, password, email, first_name, last_name, mut invalid } = Registration::read(fields);
        if let Some(username) = &username {
            // It counts whether it succeeds or not: this limits both accounts and finding out which usernames are
            // taken.
            self.throttle_registration(username, source).await?;
            // Like the original, this looks up the username as typed; one that is taken only in its normalised form
            // fails the transaction.
            if normalized(username) == *username && self.is_username_taken(username).await? {
                invalid.add("username", username::TAKEN);
            }
        }
        if requires_activation && email.is_empty() {
            invalid.add("email", "An e-mail address is required, to activate the account.");
        }
        invalid.unless_empty(())?;
        let (username, password) = (username.unwrap_or_default(), password.unwrap_or_default());
        let user = User { id: UserId(0), username, email, first_name, last_name };
        password::require_strong("password", &password, &user)?;
        if requires_activation {
            self.throttle_recipient(&user.email).await?;
        }
        let password_hash = password::hash(password).await?;
        let id = UserId(self.next_id(IdSequence::User).await?);
        let user = User { id, username: normalized(&user.username), ..user };
        let profile = Profile {
            user,
            password_hash,
            epoch: 0,
            is_active: !requires_activation,
            awaits_activation: requires_activation,
            is_listed: true,
            create_date: Date::now(),
            identity: None,
        };
        let mut writes = profile.create(|| Error::Rejected("Unable to create account."))?;
        writes.push(membership_count::none(id)?);
        self.table().transact(writes).await?;
        if requires_activation && let Err(error) = self.queue_activation(&profile.user).await {
            // The account is made, and its user can request the mail once more.
            error.log();
        }
        Ok(profile)
    }

    /// Whether accounts must be activated with a mail.
    fn requires_activation(&self) -> Result<bool> {
        let requires_activation = self.setting("REQUIRE_ACTIVATION") == Some("yes");
        if requires_activation {
            self.require_mail()?;
        }
        Ok(requires_activation)
    }
}
