//! Authorization: who is calling, and what they may do in a chat. One read by known keys covers all of it.

use super::{
    chat::Chat,
    idempotency::{IdempotencyKey, IdempotencyRecord},
    member::{Member, Membership},
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

/// What a request needs besides the caller, the chat and the membership.
#[derive(Clone, Copy, Debug)]
pub enum AlsoRead<'a> {
    /// The record of an idempotency key.
    Posted(&'a IdempotencyKey),
    /// The read marker of the caller.
    Marker,
}

/// A caller, and the chat of the request.
#[derive(Debug)]
pub struct ChatAccess {
    /// The caller.
    pub caller: Caller,
    chat: Option<Chat>,
    membership: Option<Membership>,
    /// The record of the idempotency key of the request.
    pub(crate) posted: Option<IdempotencyRecord>,
    /// The caller as a member, where the read marker was asked for.
    pub(crate) member: Option<Member>,
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
        self.membership().and_then(|_| self.chat())
    }

    /// The caller's own membership.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub(crate) fn membership(&self) -> Result<&Membership> {
        self.chat()?;
        self.membership.as_ref().ok_or_else(Error::not_a_member)
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
        also: Option<AlsoRead<'_>>,
    ) -> Result<ChatAccess> {
        let identity = Identity::from(token.ok_or(Error::NotAuthenticated)?);
        self.authorize_as(identity, uri, also).await
    }

    /// As [`Confab::authorize`], for an identity that is known already, such as a connection's.
    ///
    /// # Errors
    /// [`Error::BadCredentials`].
    pub(crate) async fn authorize_as(
        &self,
        identity: Identity,
        uri: Option<ChatUri>,
        also: Option<AlsoRead<'_>>,
    ) -> Result<ChatAccess> {
        let user_id = identity.user_id;
        uri.iter().for_each(metrics::chat);
        let chat = uri.as_ref().map(Chat::key);
        let membership = uri.as_ref().map(|uri| Membership::key(uri, user_id));
        let (posted, member) = match (&uri, also) {
            (Some(uri), Some(AlsoRead::Posted(key))) => (Some(IdempotencyRecord::key(uri, user_id, key)), None),
            (Some(uri), Some(AlsoRead::Marker)) => (None, Some(Member::key(uri, user_id))),
            _ => (None, None),
        };
        let keys = [&chat, &membership, &posted, &member].into_iter().flatten().cloned();
        let keys = identity.keys().into_iter().chain(keys);
        let mut found = self.table().get_many(keys).await?;
        let caller = self.caller(&mut found, identity).await?;
        Ok(ChatAccess {
            caller,
            chat: chat.map_or(Ok(None), |key| found.take(&key))?,
            membership: membership.map_or(Ok(None), |key| found.take(&key))?,
            posted: posted.map_or(Ok(None), |key| found.take(&key))?,
            member: member.map_or(Ok(None), |key| found.take(&key))?,
        })
    }
}
