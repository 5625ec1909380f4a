//! `PATCH /api/chats/{uri}/messages/{id}/`: has a message of one's own say something else.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
    chats::post::MessageText,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    access.require_member()?;
    let id = request.entry_id();
    confab.edit(&access, id, &MessageText::read(&fields)?).await?;
    Answer::ok(&confab.show_message(&access, id).await?)
}
