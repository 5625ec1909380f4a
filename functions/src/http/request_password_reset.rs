//! `POST /auth/password/reset`: requests the mail with which a password can be reset.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    confab.request_password_reset(&request.fields().await?, request.source).await?;
    Ok(Response::no_content())
}
