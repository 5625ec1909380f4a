//! `POST /auth/token/destroy`: logs out: revokes the token and closes its sockets.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.log_out(&caller).await?;
    Ok(Response::no_content())
}
