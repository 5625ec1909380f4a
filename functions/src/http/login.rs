//! `POST /auth/token/create/`: logs a user in: a new token for a username and a password.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use serde_json::json;

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    confab.authenticate_if_given(request.token()?.as_ref()).await?;
    let token = confab.log_in(&request.fields().await?, request.source).await?;
    Answer::ok(&json!({ "auth_token": token.reveal() }))
}
