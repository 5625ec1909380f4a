//! `PATCH /api/chats/{uri}/messages/{id}`: replaces the text of the caller's own message.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    chats::message::MessageText,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    let fields = request.fields().await?;
    access.require_member()?;
    let id = request.entry_id();
    confab.edit_message(&access, id, &MessageText::read(&fields)?).await?;
    Response::ok(&confab.show_message(&access, id).await?)
}
