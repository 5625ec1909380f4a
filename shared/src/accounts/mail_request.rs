//! Requests for mails. They look nobody up, so neither the answer nor its time tells whether an address has a user: what
//! they want sent is put into a queue.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{email, mail_token::Purpose};
use crate::{Confab, Result, auth::user::User, date::Date, ids::UserId, input::fields::Fields, json};

/// A mail to send, as queued.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MailJob {
    pub(super) purpose: Purpose,
    pub(super) email: String,
    /// The only user to send it to, if it is not for all with the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<UserId>,
    /// When it was requested, in seconds since 1970.
    pub(super) requested: i64,
}

impl Confab {
    /// Requests the mail with which a password can be reset, by a caller from `source`.
    ///
    /// # Errors
    /// [`crate::Error::NotConfigured`]; [`crate::Error::Invalid`]; [`crate::Error::Throttled`].
    pub async fn request_password_reset(&self, fields: &Fields, source: Option<IpAddr>) -> Result<()> {
        self.request_mail(Purpose::PasswordReset, fields, source).await
    }

    /// Requests the mail with which an account is activated once more.
    ///
    /// # Errors
    /// As [`Confab::request_password_reset`].
    pub async fn request_activation(&self, fields: &Fields, source: Option<IpAddr>) -> Result<()> {
        self.request_mail(Purpose::Activation, fields, source).await
    }

    async fn request_mail(&self, purpose: Purpose, fields: &Fields, source: Option<IpAddr>) -> Result<()> {
        self.require_mail()?;
        let email = email::require(fields)?;
        self.throttle_mail_request(source).await?;
        self.throttle_recipient(&email).await?;
        self.queue_mail(MailJob { purpose, email, user_id: None, requested: Date::now().epoch_seconds() }).await
    }

    /// Has the mail sent with which a new user activates the account.
    pub(super) async fn queue_activation(&self, user: &User) -> Result<()> {
        let (email, user_id) = (user.email.clone(), Some(user.id));
        let job = MailJob { purpose: Purpose::Activation, email, user_id, requested: Date::now().epoch_seconds() };
        self.queue_mail(job).await
    }

    async fn queue_mail(&self, job: MailJob) -> Result<()> {
        self.mails()?.send_unordered(json::to_line(&job)?).await
    }
}
