//! `POST /auth/password/reset/confirm`: sets a new password with the token of a mail.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    confab.reset_password(&request.fields().await?, request.source).await?;
    Ok(Response::no_content())
}
