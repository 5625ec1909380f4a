//! `GET /api/chats/`: my chats, newest activity first.

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
    Answer::ok(&confab.list_chats(&caller, &request.target).await?)
}
