//! `GET /api/chats/{uri}`: shows a chat to its members.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    Response::ok(&confab.show_chat(&access, &request.target).await?)
}
