//! Activating an account with the token in a mail.

use std::net::IpAddr;

use super::mail_token::{Purpose, invalid_token};
use crate::{
    Confab, Result,
    auth::user::Profile,
    aws::table::Write,
    error::Invalid,
    input::{fields::Fields, text::Text},
};

impl Confab {
    /// Activates an account that was registered while the deployment required it.
    ///
    /// # Errors
    /// [`crate::Error::NotConfigured`]; [`crate::Error::Invalid`]; [`crate::Error::Throttled`].
    pub async fn activate(&self, fields: &Fields, source: Option<IpAddr>) -> Result<()> {
        self.require_mail()?;
        let mut invalid = Invalid::default();
        let [uid, token] = ["uid", "token"].map(|name| Text::required(name).read(fields, &mut invalid));
        invalid.unless_empty(())?;
        let [uid, token] = [uid, token].map(Option::unwrap_or_default);
        let profile = self.profile_by_mail_token(Purpose::Activation, &uid, &token, source).await?;
        // The new epoch ends the token. An administrator may have deactivated the account, which clears the mark.
        let activate = Write::update(
            Profile::key(profile.user.id),
            "SET is_active = :yes, epoch = :next REMOVE awaits_activation",
        )
        .when("epoch = :epoch AND awaits_activation = :yes")
        .serialized(":yes", &true)?
        .number(":epoch", profile.epoch)
        .number(":next", profile.epoch + 1)
        .otherwise(|_| invalid_token());
        self.table().apply(activate).await.map(drop)
    }
}
