//! `GET /api/chats/{uri}/search/`: the messages that have some words.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
    chats::search::Search,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), None).await?;
    access.require_member()?;
    let search = Search::read(request.target.query())?;
    Answer::ok(&confab.search(&access, &search, &request.target).await?)
}
