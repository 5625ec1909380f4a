//! `GET /auth/users/me/export`: the caller's own data as JSON Lines, a page at a time.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    let export = confab.export_account(&caller, &request.target).await?;
    Response::lines(export.lines, export.next.as_deref())
}
