//! `POST /auth/password/`: changes one's password; every other token of theirs dies.

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
    confab.change_password(&caller, &request.fields().await?).await?;
    Ok(Answer::no_content())
}
