//! `GET /api/chats/{uri}/search`: the messages that contain some words.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    chats::search::Search,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    access.require_member()?;
    let search = Search::read(request.target.query())?;
    Response::ok(&confab.search(&access, &search, &request.target).await?)
}
