//! `GET /api/chats/{uri}/search/`: the messages that contain some words.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
    chats::search::Search,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    access.require_member()?;
    let search = Search::read(request.target.query())?;
    Answer::ok(&confab.search(&access, &search, &request.target).await?)
}
