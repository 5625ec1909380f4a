//! `DELETE /api/chats/{uri}/messages/{id}/`: takes a message back; the chat's owner may do that with any.

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
    confab.delete_message(&access, request.entry_id()).await?;
    Ok(Answer::no_content())
}
