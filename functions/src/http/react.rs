//! `PUT` and `DELETE /api/chats/{uri}/messages/{id}/reactions/{emoji}/`: adds an emoji to a message, or removes it.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use http::Method;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    access.require_member()?;
    let (id, emoji) = (request.entry_id(), request.parameter("emoji").parse()?);
    if request.method == Method::DELETE {
        confab.remove_reaction(&access, id, &emoji).await?;
        return Ok(Answer::no_content());
    }
    confab.add_reaction(&access, id, &emoji).await?;
    Answer::ok(&confab.show_message(&access, id).await?)
}
