//! `GET /api/chats/`: the caller's chats, newest activity first.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    Answer::ok(&confab.list_chats(&caller, &request.target).await?)
}
