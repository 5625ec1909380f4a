//! `POST /auth/users/create/`: registers a user.

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
    let user = confab.register(&request.fields().await?, request.source).await?;
    Answer::created(&json!({ "email": user.email, "username": user.username, "id": user.id }))
}
