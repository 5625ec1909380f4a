//! `DELETE /api/chats/{uri}/messages/{id}`: deletes the caller's own message, or for the chat's owner anyone's.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    confab.delete_message(&access, request.entry_id()).await?;
    Ok(Response::no_content())
}
