//! `POST /api/chats/{uri}/messages/`: posts a message.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
    chats::post::Message,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let token = request.token()?;
    let key = request.idempotency_key();
    // Who calls is asked before what is wrong with the key, as it is before what is wrong with anything.
    let access = confab.authorize(token.as_ref(), request.uri(), key.as_ref().ok().and_then(Option::as_ref)).await?;
    let key = key?;
    let fields = request.fields().await?;
    access.require_member()?;
    Answer::ok(&confab.post(&access, Message::read(&fields)?, key.as_ref()).await?)
}
