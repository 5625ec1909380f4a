//! `PATCH /api/chats/{uri}/messages/{id}/`: has a message of one's own say something else.

use confab_shared::{
    Confab, Result,
    http::{Answer, Request},
    message::Wording,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let visit = confab.visit(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    visit.as_member()?;
    let id = request.entry_id();
    confab.edit(&visit, id, &Wording::read(&fields)?).await?;
    Answer::ok(&confab.show_message(&visit, id).await?)
}
