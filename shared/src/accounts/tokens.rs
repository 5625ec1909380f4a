//! The tokens of a user: listed, and revoked one by one or all but one.

use std::cmp::Reverse;

use serde::Serialize;

use crate::{
    Confab, Error, Result,
    auth::{
        authentication::Caller,
        client_info::ClientInfo,
        token::{KeyedToken, StoredToken, TokenId},
    },
    aws::table::{Write, read},
    date::Date,
    ids::UserId,
    key::Partition,
};

/// The tokens of a user, the last used first.
#[derive(Debug, Serialize)]
pub struct TokenList {
    tokens: Vec<TokenView>,
}

/// A token, as its user sees it.
#[derive(Debug, Serialize)]
struct TokenView {
    id: TokenId,
    client: Option<String>,
    create_date: Date,
    last_use_date: Date,
    /// Whether it is the request's own.
    current: bool,
}

impl Confab {
    /// The valid tokens of the caller.
    ///
    /// # Errors
    /// When the table fails.
    pub async fn list_tokens(&self, caller: &Caller) -> Result<TokenList> {
        let lifetime = self.limits().token_seconds;
        let view = |keyed: KeyedToken| {
            let (id, KeyedToken { token, .. }) = (keyed.public_id(), &keyed);
            let current = id == caller.token.public_id();
            let last_use_date = token.last_use(lifetime);
            let (ClientInfo { client }, create_date) = (token.client.clone(), token.create_date);
            TokenView { id, client, create_date, last_use_date, current }
        };
        let tokens = self.tokens_of(caller.user.id).await?.into_iter();
        let mut tokens: Vec<_> = tokens.filter(|keyed| keyed.token.epoch == caller.epoch).map(view).collect();
        tokens.sort_by_key(|token| Reverse((token.last_use_date, token.create_date)));
        Ok(TokenList { tokens })
    }

    /// Revokes a token of the caller, who may name the request's own, and closes its sockets.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the caller has no such token.
    pub async fn revoke_token(&self, caller: &Caller, id: Option<TokenId>) -> Result<()> {
        let id = id.ok_or(Error::NotFound)?;
        let mut pages = self.table().pages_under(Partition::Tokens.of(caller.user.id), id.prefix());
        let found = pages.next().await?.unwrap_or_default().into_iter().map(read::<KeyedToken>);
        let valid = found.filter(|found| found.as_ref().map_or(true, |found| found.token.epoch == caller.epoch));
        let keys = valid.map(|found| Ok(found?.key)).collect::<Result<Vec<_>>>()?;
        if keys.is_empty() {
            return Err(Error::NotFound);
        }
        for key in keys {
            self.table().apply(Write::delete(key)).await?;
        }
        self.close_unauthorized_sockets(caller.user.id).await
    }

    /// Revokes all tokens of the caller except the request's own, and closes their sockets.
    ///
    /// # Errors
    /// When the table or the sockets fail.
    pub async fn revoke_other_tokens(&self, caller: &Caller) -> Result<()> {
        let own = StoredToken::key(caller.user.id, &caller.token);
        let others = self.tokens_of(caller.user.id).await?.into_iter().filter(|token| token.key != own);
        self.table().write_many(others.map(|token| Write::delete(token.key)).collect()).await?;
        self.close_unauthorized_sockets(caller.user.id).await
    }

    /// All tokens of a user that are stored, also those of earlier epochs.
    pub(super) async fn tokens_of(&self, user_id: UserId) -> Result<Vec<KeyedToken>> {
        let mut pages = self.table().pages(Partition::Tokens.of(user_id));
        let mut tokens = Vec::new();
        while let Some(page) = pages.next().await? {
            for item in page {
                tokens.push(read(item)?);
            }
        }
        Ok(tokens)
    }
}
