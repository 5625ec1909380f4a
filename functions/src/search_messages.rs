//! `GET /api/chats/{uri}/search/`: the messages that have some words.

use confab_shared::{
    Confab, Result,
    http::{Answer, Request},
    search::Search,
};

/// Answers one request.
///
/// # Errors
/// What the caller is to be told.
pub async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let visit = confab.visit(request.token()?.as_ref(), request.uri(), None).await?;
    visit.as_member()?;
    let search = Search::read(request.target.query())?;
    Answer::ok(&confab.search(&visit, &search, &request.target).await?)
}
