//! `POST /auth/token/logoutall`: logs out everywhere: revokes all tokens of the caller and closes their sockets.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.log_out_everywhere(&caller).await?;
    Ok(Response::no_content())
}
