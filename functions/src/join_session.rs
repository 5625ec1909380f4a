//! `PATCH /api/chats/{uri}/`: joins a chat session, invites others into it, or with `owner` hands it over.

use confab_shared::{
    Confab, Result,
    http::{Answer, Request},
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let visit = confab.visit(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    Answer::ok(&match fields.get("owner") {
        Some(_) => confab.hand_over(&visit, &fields).await?,
        None => confab.join(&visit, &fields).await?,
    })
}
