//! `GET /api/chats/{uri}/export`: a chat's log as JSON Lines, a page at a time.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    let export = confab.export(&access, &request.target).await?;
    Response::lines(export.lines, export.next.as_deref())
}
