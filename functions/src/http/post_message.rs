//! `POST /api/chats/{uri}/messages`: posts a message.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    chats::{access::AlsoRead, message::NewMessage},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let token = request.token()?;
    let key = request.idempotency_key();
    // As everywhere, the caller is authenticated before an error in the request, such as in its key, is reported.
    let posted = key.as_ref().ok().and_then(Option::as_ref).map(AlsoRead::Posted);
    let access = confab.authorize(token.as_ref(), request.uri(), posted).await?;
    let key = key?;
    let fields = request.fields().await?;
    access.require_member()?;
    Response::ok(&confab.post_message(&access, NewMessage::read(&fields)?, key.as_ref()).await?)
}
