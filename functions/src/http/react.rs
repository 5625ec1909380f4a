//! `PUT` and `DELETE /api/chats/{uri}/messages/{id}/reactions/{emoji}`: adds an emoji to a message, or removes it.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use http::Method;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    access.require_member()?;
    let (id, emoji) = (request.entry_id(), request.parameter("emoji").parse()?);
    if request.method == Method::DELETE {
        confab.remove_reaction(&access, id, &emoji).await?;
        return Ok(Response::no_content());
    }
    confab.add_reaction(&access, id, &emoji).await?;
    Response::ok(&confab.show_message(&access, id).await?)
}
