//! `DELETE /auth/tokens`: revokes all tokens of the caller except the request's own, and closes their sockets.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.revoke_other_tokens(&caller).await?;
    Ok(Response::no_content())
}
