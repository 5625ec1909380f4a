//! `GET /api/chats/`: my chat sessions, newest activity first.

use confab_shared::{
    Confab, Result,
    http::{Answer, Request},
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    Answer::ok(&confab.my_chats(&caller, &request.target).await?)
}
