//! `DELETE /api/chats/{uri}/messages/{id}/`: deletes the caller's own message, or for the chat's owner anyone's.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    confab.delete_message(&access, request.entry_id()).await?;
    Ok(Answer::no_content())
}
