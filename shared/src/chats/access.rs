//! Authorization: who is calling, and what they may do in a chat. One read by known keys covers all of it.

use super::{
    chat::Chat,
    idempotency::{IdempotencyKey, IdempotencyRecord},
    member::Member,
};
use crate::{
    Confab, Error, Result,
    auth::{
        authentication::{Caller, Identity},
        token::Token,
    },
    ids::ChatUri,
    metrics,
};

/// A caller, and the chat of the request.
#[derive(Debug)]
pub struct ChatAccess {
    /// The caller.
    pub caller: Caller,
    chat: Option<Chat>,
    member: Option<Member>,
    /// The record of the idempotency key of the request.
    pub(crate) posted: Option<IdempotencyRecord>,
}

impl ChatAccess {
    /// The chat.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub(crate) fn chat(&self) -> Result<&Chat> {
        self.chat.as_ref().ok_or(Error::NotFound)
    }

    /// The chat, for its members only.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] where the caller is not a member.
    pub fn require_member(&self) -> Result<&Chat> {
        self.member().and_then(|_| self.chat())
    }

    /// The caller's own membership.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub(crate) fn member(&self) -> Result<&Member> {
        self.chat()?;
        self.member.as_ref().ok_or_else(Error::not_a_member)
    }
}

impl Confab {
    /// Authenticates the caller and reads the chat and their membership. `None` stands for a uri that cannot be one,
    /// and is an unknown chat.
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

    /// As [`Confab::authorize`], for an identity that is known already, such as a connection's.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub(crate) async fn authorize_as(
        &self,
        identity: Identity,
        uri: Option<ChatUri>,
        key: Option<&IdempotencyKey>,
    ) -> Result<ChatAccess> {
        let user_id = identity.user_id;
        uri.iter().for_each(metrics::chat);
        let chat = uri.as_ref().map(Chat::key);
        let member = uri.as_ref().map(|uri| Member::key(uri, user_id));
        let posted = uri.as_ref().zip(key).map(|(uri, key)| IdempotencyRecord::key(uri, user_id, key));
        let keys = identity.keys().into_iter().chain([&chat, &member, &posted].into_iter().flatten().cloned());
        let mut found = self.table().get_many(keys).await?;
        let caller = self.caller(&mut found, identity).await?;
        Ok(ChatAccess {
            caller,
            chat: chat.map_or(Ok(None), |key| found.take(&key))?,
            member: member.map_or(Ok(None), |key| found.take(&key))?,
            posted: posted.map_or(Ok(None), |key| found.take(&key))?,
        })
    }
}
