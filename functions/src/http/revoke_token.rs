//! `DELETE /auth/tokens/{id}`: revokes a token of the caller and closes its sockets.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    auth::token::TokenId,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.revoke_token(&caller, TokenId::parse(request.parameter("id"))).await?;
    Ok(Response::no_content())
}
