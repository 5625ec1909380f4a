//! `POST /auth/token/destroy/`: logs out: the token dies, and its sockets are closed.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.log_out(&caller).await?;
    Ok(Answer::no_content())
}
