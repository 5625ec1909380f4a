//! Resetting a forgotten password with the token in a mail.

use std::net::IpAddr;

use super::{
    mail_token::{Purpose, invalid_token},
    password::{self, PASSWORD_CHARACTERS},
};
use crate::{
    Confab, Result,
    auth::user::Profile,
    aws::table::Write,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Resets a password, revokes all tokens of the user and closes their sockets. It activates nobody.
    ///
    /// # Errors
    /// [`crate::Error::NotConfigured`]; [`crate::Error::Invalid`]; [`crate::Error::Throttled`].
    pub async fn reset_password(&self, fields: &Fields, source: Option<IpAddr>) -> Result<()> {
        self.require_mail()?;
        let mut invalid = Invalid::default();
        let [uid, token] = ["uid", "token"].map(|name| Text::required(name).read(fields, &mut invalid));
        let new = Text::required("new_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        invalid.unless_empty(())?;
        let [uid, token, new] = [uid, token, new].map(Option::unwrap_or_default);
        let profile = self.profile_by_mail_token(Purpose::PasswordReset, &uid, &token, source).await?;
        if !profile.is_active {
            return Err(invalid_token());
        }
        password::require_strong("new_password", &new, &profile.user)?;
        let hash = password::hash(new).await?;
        self.table().apply(new_password(&profile, hash)).await?;
        self.end_earlier_epochs(profile.user.id, profile.epoch + 1).await
    }
}

/// The new epoch revokes all tokens at once, this one too. Of two requests with it, one fails.
fn new_password(profile: &Profile, hash: String) -> Write {
    Write::update(Profile::key(profile.user.id), "SET password_hash = :new, epoch = :next")
        .when("epoch = :epoch")
        .text(":new", hash)
        .number(":epoch", profile.epoch)
        .number(":next", profile.epoch + 1)
        .otherwise(|_| invalid_token())
}
