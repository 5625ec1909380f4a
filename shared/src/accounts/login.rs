//! Login: a new token for the right username and password.

use std::{cmp::Reverse, net::IpAddr};

use super::password::{self, PASSWORD_CHARACTERS, Verdict};
use crate::{
    Confab, Error, Result,
    auth::{
        client_info::ClientInfo,
        token::{KeyedToken, StoredToken, Token},
        user::Profile,
    },
    aws::table::{WRITES_PER_BATCH, Write, read},
    error::Invalid,
    input::{fields::Fields, text::Text},
    key::{Key, Partition},
};

/// The most tokens of a user; a login beyond that revokes the oldest.
const TOKENS: usize = 50;
/// Tokens of a user that a login reads: all of them, unless many are from before there was a limit.
const TOKENS_READ: usize = 200;

impl Confab {
    /// Logs a user in who calls from `source`, with this client.
    ///
    /// # Errors
    /// [`Error::Invalid`], and the same one for an unknown user, a wrong password and an inactive user;
    /// [`Error::Throttled`].
    pub async fn log_in(&self, fields: &Fields, source: Option<IpAddr>, client: ClientInfo) -> Result<Token> {
        let mut invalid = Invalid::default();
        let [username, password] = ["username", "password"].map(|name| credential(name, fields, &mut invalid));
        invalid.unless_empty(())?;
        let wrong = || Error::from(Invalid::field("non_field_errors", "Unable to login with provided credentials."));
        let (Some(username), Some(password)) = (username, password) else { return Err(wrong()) };
        let attempt = self.throttle_login(&username, source).await?;
        let profile = self.profile_by_username(&username).await?;
        let stored = profile.as_ref().map(|profile| profile.password_hash.clone());
        let verdict = password::verify(password.clone(), stored).await?;
        let Some(profile) = profile.filter(|profile| profile.is_active && verdict != Verdict::Wrong) else {
            return Err(wrong());
        };
        if verdict == Verdict::RightAndOutdated {
            self.upgrade_hash(&profile, password).await?;
        }
        if !profile.is_listed {
            self.list_address(&profile).await?;
        }
        let token = self.issue_token(&profile, client, None).await?;
        self.refund(attempt).await?;
        Ok(token)
    }

    /// A new token for a user, valid at most until `ends_at`, in seconds since 1970. It replaces the oldest ones beyond
    /// the limit.
    pub(super) async fn issue_token(
        &self,
        profile: &Profile,
        client: ClientInfo,
        ends_at: Option<i64>,
    ) -> Result<Token> {
        let token = Token::issue(profile.user.id)?;
        let surplus = self.surplus_tokens(profile).await?;
        let stored = StoredToken::new(profile.epoch, self.limits().token_seconds, client, ends_at);
        self.table().apply(Write::put(StoredToken::key(profile.user.id, &token.hash()), &stored)?).await?;
        // `reconcile` closes their sockets when the table's stream reports it.
        self.table().write_many(surplus.into_iter().map(Write::delete).collect()).await?;
        Ok(token)
    }

    /// Replaces a hash of an older kind.
    async fn upgrade_hash(&self, profile: &Profile, password: String) -> Result<()> {
        let hash = password::hash(password).await?;
        // Only if it is still the one just verified: a concurrent change of the password must win, as it does over the
        // token that is about to be issued, which is of the epoch that was verified.
        let upgrade = Write::update(Profile::key(profile.user.id), "SET password_hash = :new")
            .when("password_hash = :old")
            .text(":new", hash)
            .text(":old", &profile.password_hash);
        self.table().attempt(upgrade).await.map(drop)
    }

    /// The tokens to revoke before another one is issued, found in one call, and few enough to be deleted in another.
    async fn surplus_tokens(&self, profile: &Profile) -> Result<Vec<Key>> {
        let mut pages = self.table().pages(Partition::Tokens.of(profile.user.id)).limit(TOKENS_READ);
        let tokens = pages.next().await?.unwrap_or_default().into_iter().map(read);
        let mut tokens: Vec<KeyedToken> = tokens.collect::<Result<_>>()?;
        // The newest first, and those of earlier epochs, which are revoked already, last.
        tokens.sort_by_key(|KeyedToken { token, .. }| Reverse((token.epoch == profile.epoch, token.create_date)));
        Ok(tokens.into_iter().skip(TOKENS - 1).rev().take(WRITES_PER_BATCH).map(|token| token.key).collect())
    }
}

/// A username or password at login: missing or empty is merely wrong, but a value of another kind is an error of the
/// field.
fn credential(name: &'static str, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    let value = fields.get(name)?;
    if value.as_str() == Some("") {
        return None;
    }
    Text::required(name).read(fields, invalid).filter(|text| text.chars().count() <= PASSWORD_CHARACTERS)
}
