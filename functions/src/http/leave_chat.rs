//! `DELETE /api/chats/{uri}/members/{username}`: leaves a chat; its owner may remove others.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    confab.leave(&access, request.parameter("username")).await?;
    Ok(Response::no_content())
}
