//! Sending the mails that were requested.

use super::{
    email,
    mail_request::MailJob,
    mail_text::MailText,
    mail_token::{Purpose, uid},
    password,
};
use crate::{Confab, Error, Result, auth::user::Profile, aws::mail::Mail, date::Date};

impl Confab {
    /// Sends the mails of one job from the queue: to each user who has the address. If it fails, all of them are sent
    /// once more.
    ///
    /// # Errors
    /// When the table or SES fails; when this is no job.
    pub async fn send_mail(&self, job: &str) -> Result<()> {
        let job: MailJob = serde_json::from_str(job).map_err(Error::internal)?;
        let mailer = self.mailer().ok_or_else(|| Error::internal("MAIL_SENDER is not set"))?;
        if Date::now().epoch_seconds() - job.requested > self.limits().mail_token_seconds {
            tracing::warn!("a mail is not sent, since it was requested too long ago");
            return Ok(());
        }
        for profile in self.recipients(&job).await? {
            mailer.send(&self.mail(job.purpose, &profile).await?).await?;
        }
        Ok(())
    }

    async fn recipients(&self, job: &MailJob) -> Result<Vec<Profile>> {
        let profiles = match job.user_id {
            Some(id) => self.table().get(Profile::key(id)).await?.into_iter().collect(),
            None => self.profiles_by_address(&job.email).await?,
        };
        Ok(profiles.into_iter().filter(|profile| gets(job.purpose, profile)).collect())
    }

    async fn mail(&self, purpose: Purpose, profile: &Profile) -> Result<Mail> {
        let base = self.setting("MAIL_LINK_BASE").ok_or_else(|| Error::internal("MAIL_LINK_BASE is not set"))?;
        let path = match purpose {
            Purpose::PasswordReset => "reset-password",
            Purpose::Activation => "activate",
        };
        let token = purpose.token(profile, self.secret_for_mail().await?)?;
        let text = MailText {
            product: self.setting("PRODUCT_NAME").unwrap_or("Confab"),
            username: &profile.user.username,
            // Behind `#`, so that no server gets the token, and no log has it.
            link: &format!("{base}#/{path}/{}/{token}", uid(profile.user.id)),
            hours: self.limits().mail_token_seconds / 3600,
        };
        Ok(text.mail(purpose, email::in_ascii(&profile.user.email)))
    }
}

/// Whether a user gets such a mail. As in Django, a password can be reset by an active user who has one.
fn gets(purpose: Purpose, profile: &Profile) -> bool {
    match purpose {
        Purpose::PasswordReset => profile.is_active && password::is_verifiable(&profile.password_hash),
        Purpose::Activation => profile.awaits_activation && !profile.is_active,
    }
}
