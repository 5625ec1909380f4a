//! A access: who is calling, and what of the chat they ask for they may see. One read by known keys answers it all.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    auth::token::{StoredToken, Token, TokenHash},
    auth::user::{Profile, User},
    aws::table::{BatchItems, Write},
    chats::chat::Chat,
    chats::members::Member,
    chats::post::{IdempotencyKey, IdempotencyRecord},
    ids::{ChatUri, UserId},
    metrics,
};

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: User,
    /// Which of their tokens they came with.
    pub token: TokenHash,
    pub(crate) password_hash: String,
    pub(crate) epoch: u64,
    /// When the token expires if it is not used again, in seconds since 1970.
    pub(crate) token_expires_at: i64,
}

impl Caller {
    /// The caller, as one whom nobody needs to look up.
    pub(crate) fn known(&self) -> HashMap<UserId, User> {
        HashMap::from([(self.user.id, self.user.clone())])
    }

    /// The caller without the e-mail address.
    pub(crate) fn public(&self) -> User {
        self.user.clone().without_email()
    }
}

/// Whose token a caller or a connection has shown. It need not be good any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The hash of the token.
    pub token: TokenHash,
}

impl From<&Token> for Identity {
    fn from(token: &Token) -> Self {
        Self { user_id: token.user_id(), token: token.hash() }
    }
}

/// A caller, and the chat that they ask for.
#[derive(Debug)]
pub struct ChatAccess {
    /// Who is calling.
    pub caller: Caller,
    chat: Option<Chat>,
    member: Option<Member>,
    /// What was posted with the idempotency key that they gave.
    pub(crate) posted: Option<IdempotencyRecord>,
}

impl ChatAccess {
    /// The chat.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none.
    pub fn chat(&self) -> Result<&Chat> {
        self.chat.as_ref().ok_or(Error::NotFound)
    }

    /// The chat, for its members only.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::Forbidden`] where the caller is not in it.
    pub fn require_member(&self) -> Result<&Chat> {
        let chat = self.chat()?;
        if self.member.is_some() { Ok(chat) } else { Err(Error::not_a_member()) }
    }

    /// The caller's own membership.
    pub(crate) fn member(&self) -> Result<&Member> {
        self.member.as_ref().ok_or_else(Error::not_a_member)
    }
}

impl Confab {
    /// Finds out who is calling.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] or [`Error::BadCredentials`].
    pub async fn authenticate(&self, token: Option<&Token>) -> Result<Caller> {
        self.authenticate_as(Identity::from(token.ok_or(Error::NotAuthenticated)?)).await
    }

    /// The same for an identity that is known already, as a connection's is.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub async fn authenticate_as(&self, identity: Identity) -> Result<Caller> {
        let found = self.table().get_many([Profile::key(identity.user_id), identity.key()]).await?;
        self.caller(&found, identity).await
    }

    /// Who is calling, of what was found under an identity; a token that is used lives on.
    async fn caller(&self, found: &BatchItems, identity: Identity) -> Result<Caller> {
        let (profile, token) = authenticated(found, &identity)?;
        metrics::user(profile.user.id);
        let extended = token.extended(self.limits().token_seconds);
        if let Some(expires_at) = extended {
            let extend = Write::update(identity.key(), "SET expires_at = :expires_at").if_present();
            // The request need not fail over it: the next one will do.
            if let Err(error) = self.table().apply(extend.number(":expires_at", expires_at)).await {
                error.log();
            }
        }
        let Profile { user, password_hash, epoch, .. } = profile;
        let token_expires_at = extended.unwrap_or(token.expires_at);
        Ok(Caller { user, token: identity.token, password_hash, epoch, token_expires_at })
    }

    /// Lets a caller pass without a token, but not with a bad one: the original authenticates first, everywhere.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub async fn authenticate_if_given(&self, token: Option<&Token>) -> Result<()> {
        match token {
            Some(token) => self.authenticate(Some(token)).await.map(drop),
            None => Ok(()),
        }
    }

    /// Finds out who is calling and what they may see of a chat. A uri that cannot be one is as good as unknown.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] or [`Error::BadCredentials`].
    pub async fn authorize(
        &self,
        token: Option<&Token>,
        uri: Option<ChatUri>,
        key: Option<&IdempotencyKey>,
    ) -> Result<ChatAccess> {
        let identity = Identity::from(token.ok_or(Error::NotAuthenticated)?);
        self.authorize_as(identity, uri, key).await
    }

    /// The same for an identity that is known already, as a connection's is.
    ///
    /// # Errors
    /// As [`Confab::authorize`].
    pub async fn authorize_as(
        &self,
        identity: Identity,
        uri: Option<ChatUri>,
        key: Option<&IdempotencyKey>,
    ) -> Result<ChatAccess> {
        let user_id = identity.user_id;
        uri.as_ref().inspect(|uri| metrics::chat(uri));
        let mut keys = vec![Profile::key(user_id), identity.key()];
        let posted_key = uri.as_ref().zip(key).map(|(uri, key)| IdempotencyRecord::key(uri, user_id, key));
        if let Some(uri) = &uri {
            keys.extend([Chat::key(uri), Member::key(uri, user_id)]);
            keys.extend(posted_key.clone());
        }
        let found = self.table().get_many(keys).await?;
        let caller = self.caller(&found, identity).await?;
        let posted = match &posted_key {
            Some(key) => found.read(key)?,
            None => None,
        };
        let (chat, member) = match &uri {
            Some(uri) => (found.read(&Chat::key(uri))?, found.read(&Member::key(uri, user_id))?),
            None => (None, None),
        };
        Ok(ChatAccess { caller, chat, member, posted })
    }
}

impl Identity {
    pub(crate) fn key(&self) -> crate::aws::table::Key {
        StoredToken::key(self.user_id, &self.token)
    }
}

/// The user and the token of an identity, if they are good: the token is there, has not expired, and is of its user's epoch.
fn authenticated(found: &BatchItems, identity: &Identity) -> Result<(Profile, StoredToken)> {
    let Some(token) = found.read::<StoredToken>(&identity.key())? else {
        return Err(Error::BadCredentials("Invalid token."));
    };
    match found.read::<Profile>(&Profile::key(identity.user_id))? {
        Some(profile) if profile.is_active && profile.epoch == token.epoch => Ok((profile, token)),
        Some(profile) if profile.is_active => Err(Error::BadCredentials("Invalid token.")),
        _ => Err(Error::BadCredentials("User inactive or deleted.")),
    }
}

/// Whether an identity is still good.
///
/// # Errors
/// When what was found is no token or no profile.
pub(crate) fn is_good(found: &BatchItems, identity: &Identity) -> Result<bool> {
    match authenticated(found, identity) {
        Ok(_) => Ok(true),
        Err(Error::BadCredentials(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
