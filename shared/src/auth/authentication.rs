//! Who is calling.

use std::{borrow::Borrow, collections::HashMap};

use serde::{Deserialize, Serialize};

use super::{
    token::{StoredToken, Token, TokenHash},
    user::{Profile, User},
};
use crate::{
    Confab, Error, Result,
    aws::table::{BatchItems, Write},
    ids::UserId,
    key::Key,
    metrics,
};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: User,
    /// The token of the request.
    pub token: TokenHash,
    pub(crate) password_hash: String,
    pub(crate) epoch: u64,
    /// When the token expires if it is not used again, in seconds since 1970.
    pub(crate) token_expires_at: i64,
}

impl Caller {
    /// The caller as a user who need not be looked up.
    pub(crate) fn known(&self) -> HashMap<UserId, User> {
        HashMap::from([(self.user.id, self.user.clone())])
    }

    /// The caller without the e-mail address.
    pub(crate) fn public(&self) -> User {
        self.user.clone().without_email()
    }
}

/// The claim of a request or a connection: a user and one of their tokens, which need not be valid any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The hash of the token.
    pub token: TokenHash,
}

impl Identity {
    /// The key of the token.
    pub(crate) fn key(&self) -> Key {
        StoredToken::key(self.user_id, &self.token)
    }

    /// The keys that authenticating it reads.
    pub(crate) fn keys(&self) -> [Key; 2] {
        [Profile::key(self.user_id), self.key()]
    }

    /// Whether it is valid, given its user's profile and its token.
    pub(crate) fn is_valid(&self, profile: Option<&Profile>, token: Option<&StoredToken>) -> bool {
        authenticated(profile, token).is_ok()
    }
}

impl From<&Token> for Identity {
    fn from(token: &Token) -> Self {
        Self { user_id: token.user_id(), token: token.hash() }
    }
}

impl Confab {
    /// Authenticates a request.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] or [`Error::BadCredentials`].
    pub async fn authenticate(&self, token: Option<&Token>) -> Result<Caller> {
        self.authenticate_as(Identity::from(token.ok_or(Error::NotAuthenticated)?)).await
    }

    /// Authenticates an identity that is known already, such as a connection's.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub(crate) async fn authenticate_as(&self, identity: Identity) -> Result<Caller> {
        let mut found = self.table().get_many(identity.keys()).await?;
        self.caller(&mut found, identity).await
    }

    /// Authenticates a token that is optional, but valid if given: the original authenticates first, everywhere.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub async fn authenticate_if_given(&self, token: Option<&Token>) -> Result<()> {
        match token {
            Some(token) => self.authenticate(Some(token)).await.map(drop),
            None => Ok(()),
        }
    }

    /// The caller, given the items at [`Identity::keys`]. A token that is used lives on.
    pub(crate) async fn caller(&self, found: &mut BatchItems, identity: Identity) -> Result<Caller> {
        let token: Option<StoredToken> = found.take(&identity.key())?;
        let profile: Option<Profile> = found.take(&Profile::key(identity.user_id))?;
        let (profile, token) = authenticated(profile, token)?;
        metrics::user(profile.user.id);
        let extended = token.extended(self.limits().token_seconds);
        if let Some(expires_at) = extended {
            let extend = Write::update(identity.key(), "SET expires_at = :expires_at").if_present();
            // The request need not fail over it: the next one extends the token.
            if let Err(error) = self.table().attempt(extend.number(":expires_at", expires_at)).await {
                error.log();
            }
        }
        let Profile { user, password_hash, epoch, .. } = profile;
        let token_expires_at = extended.unwrap_or(token.expires_at);
        Ok(Caller { user, token: identity.token, password_hash, epoch, token_expires_at })
    }
}

/// The profile and the token of a valid identity: the token exists, has not expired, and is of its user's epoch.
fn authenticated<P, T>(profile: Option<P>, token: Option<T>) -> Result<(P, T)>
where
    P: Borrow<Profile>,
    T: Borrow<StoredToken>,
{
    let Some(token) = token else { return Err(Error::BadCredentials("Invalid token.")) };
    let profile = profile.filter(|profile| profile.borrow().is_active);
    let profile = profile.ok_or_else(Error::inactive_user)?;
    match profile.borrow().epoch == token.borrow().epoch {
        true => Ok((profile, token)),
        false => Err(Error::BadCredentials("Invalid token.")),
    }
}
