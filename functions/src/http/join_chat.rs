//! `PATCH /api/chats/{uri}`: joins a chat, invites others to it, or with `owner` transfers it.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    Response::ok(&match fields.get("owner") {
        Some(_) => confab.hand_over(&access, &fields).await?,
        None => confab.join(&access, &fields).await?,
    })
}
