//! `GET /api/chats/{uri}/members`: the members of a chat, a page at a time.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    Response::ok(&confab.list_members(&access, &request.target).await?)
}
