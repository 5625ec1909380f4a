//! `POST /auth/username`: changes the caller's username.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.change_username(&caller, &request.fields().await?).await?;
    Ok(Response::no_content())
}
