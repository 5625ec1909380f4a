//! `POST /api/chats/{uri}/messages/`: posts a message.

use confab_shared::{
    Confab, Result,
    http::{Answer, Request},
    message::Message,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let token = request.token()?;
    let key = request.idempotency_key()?;
    let visit = confab.visit(token.as_ref(), request.uri(), key.as_ref()).await?;
    let fields = request.fields().await?;
    visit.as_member()?;
    Answer::ok(&confab.post(&visit, Message::read(&fields)?, key.as_ref()).await?)
}
