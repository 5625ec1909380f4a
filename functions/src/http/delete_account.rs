//! `DELETE /auth/users/me`: deletes the caller's account.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.delete_account(&caller, &request.fields().await?).await?;
    Ok(Response::no_content())
}
