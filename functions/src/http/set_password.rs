//! `POST /auth/password`: changes the caller's password and revokes their other tokens.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.change_password(&caller, &request.fields().await?).await?;
    Ok(Response::no_content())
}
