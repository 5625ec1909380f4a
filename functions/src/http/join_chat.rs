//! `PATCH /api/chats/{uri}/`: joins a chat, invites others to it, or with `owner` transfers it.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    Answer::ok(&match fields.get("owner") {
        Some(_) => confab.hand_over(&access, &fields).await?,
        None => confab.join(&access, &fields).await?,
    })
}
