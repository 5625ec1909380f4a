//! Logging in and out: tokens that come and go.

use std::{cmp::Reverse, net::IpAddr};

use crate::{
    Confab, Error, Result,
    accounts::password::{self, Verdict},
    accounts::registration::PASSWORD_CHARACTERS,
    auth::token::{StoredToken, Token},
    auth::user::Profile,
    aws::table::{Key, WRITES_PER_BATCH, Write, read},
    chats::access::Caller,
    error::Invalid,
    ids::UserId,
    input::fields::{Fields, Text},
};

/// The most tokens of a user; a login beyond that revokes the oldest.
const TOKENS: usize = 50;
/// Tokens of a user that a login reads: all of them, unless many are from before there was a limit.
const TOKENS_READ: usize = 200;

impl Confab {
    /// Logs a user in who calls from `source`: a new token for the right username and password.
    ///
    /// # Errors
    /// [`Error::Invalid`], and the same one for an unknown user, a wrong password and a user who is not active;
    /// [`Error::Throttled`] for too many attempts.
    pub async fn log_in(&self, fields: &Fields, source: Option<IpAddr>) -> Result<Token> {
        let mut invalid = Invalid::default();
        let [username, password] = ["username", "password"].map(|name| credential(name, fields, &mut invalid));
        invalid.unless_empty(())?;
        let refused = || Error::from(Invalid::field("non_field_errors", "Unable to login with provided credentials."));
        let (Some(username), Some(password)) = (username, password) else { return Err(refused()) };
        let admitted = self.throttle_login(&username, source).await?;
        let profile = self.profile_by_username(&username).await?;
        let stored = profile.as_ref().map(|profile| profile.password_hash.clone());
        let verdict = password::verify(password.clone(), stored).await?;
        let Some(profile) = profile.filter(|profile| profile.is_active && verdict != Verdict::Wrong) else {
            return Err(refused());
        };
        if verdict == Verdict::RightAndOutdated {
            self.upgrade_hash(&profile, password).await?;
        }
        let token = Token::issue(profile.user.id)?;
        let surplus = self.surplus_tokens(&profile).await?;
        let stored = StoredToken::new(profile.epoch, self.limits().token_seconds);
        self.table().apply(Write::put(StoredToken::key(profile.user.id, &token.hash()), &stored)?).await?;
        // `settle` closes their sockets when the table's stream reports it.
        self.table().write_many(surplus.into_iter().map(Write::delete).collect()).await?;
        self.refund(admitted).await?;
        Ok(token)
    }

    /// Replaces a hash of an older kind.
    async fn upgrade_hash(&self, profile: &Profile, password: String) -> Result<()> {
        let hash = password::hash(password).await?;
        // Only if it is still the one just verified: a change of password meanwhile must win, as it does over the token that is
        // about to be issued, which is of the epoch that was verified.
        let upgrade = Write::update(Profile::key(profile.user.id), "SET password_hash = :new")
            .when("password_hash = :old")
            .text(":new", &hash)
            .text(":old", &profile.password_hash);
        self.table().apply(upgrade).await.map(drop)
    }

    /// The tokens that have to go before another one comes, in one call, and so few that deleting them is one more.
    async fn surplus_tokens(&self, profile: &Profile) -> Result<Vec<Key>> {
        let mut pages = self.table().pages(StoredToken::partition(profile.user.id)).limit(TOKENS_READ);
        let mut tokens: Vec<(StoredToken, Key)> = Vec::new();
        for item in pages.next().await?.unwrap_or_default() {
            tokens.push((read(&item)?, read(&item)?));
        }
        // The newest first. Those from before the last change of the password are no good, and go before all others.
        tokens.sort_by_key(|(token, _)| Reverse((token.epoch == profile.epoch, token.create_date)));
        Ok(tokens.into_iter().skip(TOKENS - 1).rev().take(WRITES_PER_BATCH).map(|(_, key)| key).collect())
    }

    /// Logs out: the token is revoked first, then its sockets are closed, so that no new one can come in between.
    ///
    /// # Errors
    /// When the table or the sockets fail.
    pub async fn log_out(&self, caller: &Caller) -> Result<()> {
        self.table().apply(Write::delete(StoredToken::key(caller.user.id, &caller.token))).await?;
        self.close_unauthorized_sockets(caller.user.id).await
    }

    /// Logs out everywhere: revokes all tokens of the caller, including the one of this request, and closes all sockets.
    ///
    /// # Errors
    /// When the table or the sockets fail.
    pub async fn log_out_everywhere(&self, caller: &Caller) -> Result<()> {
        // The new epoch revokes all tokens at once, and one that a login is just issuing. If there is one already, somebody else has
        // changed the password or done this.
        let epoch = Write::update(Profile::key(caller.user.id), "SET epoch = :next")
            .when("epoch = :epoch")
            .number(":epoch", caller.epoch)
            .number(":next", caller.epoch + 1);
        self.table().apply(epoch).await?;
        let closed = self.close_unauthorized_sockets(caller.user.id).await;
        self.delete_tokens_before(caller.user.id, caller.epoch + 1).await?;
        closed
    }

    /// Deletes a user's tokens of earlier epochs, which are revoked already.
    pub(crate) async fn delete_tokens_before(&self, user_id: UserId, epoch: u64) -> Result<()> {
        let mut pages = self.table().pages(StoredToken::partition(user_id));
        let mut outdated = Vec::new();
        while let Some(page) = pages.next().await? {
            for item in &page {
                if read::<StoredToken>(item)?.epoch < epoch {
                    outdated.push(Write::delete(read::<Key>(item)?));
                }
            }
        }
        self.table().write_many(outdated).await
    }
}

/// A username or password at login: missing or empty is merely wrong, but a value of another kind is an error of the field.
fn credential(name: &'static str, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    let value = fields.get(name)?;
    if value.as_str() == Some("") {
        return None;
    }
    Text::required(name).read(fields, invalid).filter(|text| text.chars().count() <= PASSWORD_CHARACTERS)
}
