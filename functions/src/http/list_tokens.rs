//! `GET /auth/tokens`: lists the valid tokens of the caller.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    Response::ok(&confab.list_tokens(&caller).await?)
}
