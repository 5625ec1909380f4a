//! `POST /auth/users/resend_activation`: requests the mail with which an account is activated once more.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    confab.request_activation(&request.fields().await?, request.source).await?;
    Ok(Response::no_content())
}
