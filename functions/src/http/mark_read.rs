//! `PUT /api/chats/{uri}/read`: moves the caller's read marker forward.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    chats::access::AlsoRead,
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let access = confab.authorize(request.token()?.as_ref(), request.uri(), Some(AlsoRead::Marker)).await?;
    let fields = request.fields().await?;
    access.require_member()?;
    Response::ok(&confab.mark_read(&access, fields.required_entry_id("id")?).await?)
}
