//! `GET /api/chats/{uri}/messages`: the history of a chat, a page at a time.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    chats::history::HistoryRange,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    Response::ok(&confab.history(&access, &HistoryRange::read(request.target.query())?, &request.target).await?)
}
