//! `PUT /api/chats/{uri}/read/`: moves the caller's read marker forward.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    Answer::ok(&confab.mark_read(&access, &request.fields().await?).await?)
}
