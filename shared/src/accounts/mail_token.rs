//! The tokens in mails: a time and a MAC over purpose, user, epoch, time and address. Nothing is stored of them.
//!
//! A token works once, since using it starts a new epoch of its user, and only as long as the user keeps the address
//! that it was sent to.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    Confab, Error, Result,
    auth::user::Profile,
    aws::table::{Applied, Write, read},
    confab::MailSecret,
    date::Date,
    error::Invalid,
    ids::UserId,
    key::{Key, Partition},
    random,
};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Purpose {
    PasswordReset,
    Activation,
}

/// The secret as stored.
#[derive(Serialize, Deserialize)]
struct StoredSecret {
    secret: String,
}

impl Purpose {
    /// The token for a user as of now.
    pub(super) fn token(self, profile: &Profile, secret: &MailSecret) -> Result<String> {
        self.token_at(Date::now().epoch_seconds(), profile, secret)
    }

    fn token_at(self, seconds: i64, profile: &Profile, secret: &MailSecret) -> Result<String> {
        let mac = self.mac(seconds, profile, secret)?.finalize().into_bytes();
        Ok(format!("{seconds:x}-{}", hex::encode(mac)))
    }

    /// Whether a token is this user's, and not older than `lifetime` seconds. The MAC is compared in constant time.
    fn accepts(self, token: &str, lifetime: i64, profile: &Profile, secret: &MailSecret) -> Result<bool> {
        let parts = token.split_once('-');
        let parts = parts.and_then(|(time, mac)| Some((i64::from_str_radix(time, 16).ok()?, hex::decode(mac).ok()?)));
        let Some((seconds, mac)) = parts else { return Ok(false) };
        let is_fresh = Date::now().epoch_seconds().saturating_sub(seconds) <= lifetime;
        Ok(self.mac(seconds, profile, secret)?.verify_slice(&mac).is_ok() && is_fresh)
    }

    /// Only the address, which is last, is free text.
    fn mac(self, seconds: i64, profile: &Profile, secret: &MailSecret) -> Result<Hmac<Sha256>> {
        let purpose = match self {
            Self::PasswordReset => "password reset",
            Self::Activation => "activation",
        };
        let Profile { user, epoch, .. } = profile;
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).map_err(|error| Error::internal(error.to_string()))?;
        mac.update(format!("{purpose}#{}#{epoch}#{seconds}#{}", user.id, user.email).as_bytes());
        Ok(mac)
    }
}

/// A user's id as djoser writes it in links.
pub(super) fn uid(id: UserId) -> String {
    URL_SAFE_NO_PAD.encode(id.to_string())
}

/// The user of a `uid`.
///
/// # Errors
/// [`Error::Invalid`] if it is none.
fn user_of(uid: &str) -> Result<UserId> {
    user_id(uid).ok_or_else(|| Invalid::field("uid", "Invalid user id or user doesn't exist.").into())
}

fn user_id(uid: &str) -> Option<UserId> {
    let digits = URL_SAFE_NO_PAD.decode(uid.trim_end_matches('=')).ok()?;
    let digits = std::str::from_utf8(&digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().map(UserId)
}

/// The error of a token that is wrong, expired, used, or of no such user.
pub(super) fn invalid_token() -> Error {
    Invalid::field("non_field_errors", "Invalid token for given user.").into()
}

fn key() -> Key {
    Partition::Secret.key("mail", "SECRET")
}

fn decoded(StoredSecret { secret }: StoredSecret) -> Result<MailSecret> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(secret, &mut bytes).map_err(Error::internal)?;
    Ok(MailSecret(bytes))
}

impl Confab {
    /// The profile of the user `uid` whose token is valid, for a caller from `source`. Attempts are throttled.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `uid` is no user's; [`invalid_token`], which does not tell whether there is such a user;
    /// [`Error::Throttled`].
    pub(super) async fn profile_by_mail_token(
        &self,
        purpose: Purpose,
        uid: &str,
        token: &str,
        source: Option<IpAddr>,
    ) -> Result<Profile> {
        let id = user_of(uid)?;
        self.throttle_confirmation(id, source).await?;
        let mut found = self.table().get_many([Profile::key(id), key()]).await?;
        let profile: Option<Profile> = found.take(&Profile::key(id))?;
        // Without a secret, no token was ever sent.
        let secret = found.take::<StoredSecret>(&key())?.map(decoded).transpose()?;
        let (Some(profile), Some(secret)) = (profile, secret) else { return Err(invalid_token()) };
        match purpose.accepts(token, self.limits().mail_token_seconds, &profile, &secret)? {
            true => Ok(profile),
            false => Err(invalid_token()),
        }
    }

    /// The secret for tokens, made at its first use and kept for the sandbox's life.
    pub(super) async fn secret_for_mail(&self) -> Result<&MailSecret> {
        self.mail_secret().get_or_try_init(async || self.stored_secret().await).await
    }

    async fn stored_secret(&self) -> Result<MailSecret> {
        if let Some(stored) = self.table().get(key()).await? {
            return decoded(stored);
        }
        let new = StoredSecret { secret: random::hex::<32>()? };
        match self.table().attempt(Write::put(key(), &new)?.if_absent()).await? {
            Applied::Done(_) => decoded(new),
            // Another function was first.
            Applied::ConditionFailed(item) => decoded(read(item.unwrap_or_default())?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::user::User;
    use proptest::prelude::*;

    fn profile(id: u64, epoch: u64, email: &str) -> Profile {
        let text = String::new;
        let user =
            User { id: UserId(id), username: text(), email: email.to_owned(), first_name: text(), last_name: text() };
        Profile {
            user,
            password_hash: text(),
            epoch,
            is_active: true,
            awaits_activation: false,
            is_listed: true,
            create_date: Date::now(),
            identity: None,
        }
    }

    #[test]
    fn a_token_is_for_one_purpose_user_epoch_and_address() {
        let (secret, anna) = (MailSecret([7; 32]), profile(1, 0, "anna@example.com"));
        let token = Purpose::PasswordReset.token(&anna, &secret).unwrap();
        let accepts = |purpose: Purpose, profile: &Profile, secret: &MailSecret| {
            purpose.accepts(&token, 3600, profile, secret).unwrap()
        };
        assert!(accepts(Purpose::PasswordReset, &anna, &secret));
        assert!(!accepts(Purpose::Activation, &anna, &secret));
        assert!(!accepts(Purpose::PasswordReset, &anna, &MailSecret([8; 32])));
        for other in
            [profile(2, 0, "anna@example.com"), profile(1, 1, "anna@example.com"), profile(1, 0, "x@example.com")]
        {
            assert!(!accepts(Purpose::PasswordReset, &other, &secret), "{other:?}");
        }
    }

    #[test]
    fn a_token_expires() {
        let (secret, anna, now) = (MailSecret([7; 32]), profile(1, 0, ""), Date::now().epoch_seconds());
        for (age, is_valid) in [(0, true), (3590, true), (3610, false), (i64::MAX / 2, false)] {
            let token = Purpose::Activation.token_at(now - age, &anna, &secret).unwrap();
            assert_eq!(Purpose::Activation.accepts(&token, 3600, &anna, &secret).unwrap(), is_valid, "{age}");
        }
        // Nobody can make an old token younger.
        let old = Purpose::Activation.token_at(now - 7200, &anna, &secret).unwrap();
        let younger = format!("{now:x}-{}", old.split_once('-').unwrap().1);
        assert!(!Purpose::Activation.accepts(&younger, 3600, &anna, &secret).unwrap());
    }

    #[test]
    fn a_uid_is_djosers() {
        assert_eq!(uid(UserId(1)), "MQ");
        for (text, id) in [("MQ", Some(1)), ("MQ==", Some(1)), ("x", None), ("", None), ("LTE", None), ("KzE", None)] {
            assert_eq!(user_id(text), id.map(UserId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_token_and_uid_is_read_or_rejected(token in "\\PC{0,80}|-?[0-9a-f]{0,20}-[0-9a-f]{0,70}", uid in "\\PC{0,20}") {
            prop_assert!(!Purpose::Activation.accepts(&token, i64::MAX, &profile(1, 0, ""), &MailSecret([7; 32])).unwrap());
            let _ = user_id(&uid);
        }

        #[test]
        fn a_uid_reads_as_it_was_written(id: u64) {
            prop_assert_eq!(user_id(&uid(UserId(id))), Some(UserId(id)));
        }
    }
}
