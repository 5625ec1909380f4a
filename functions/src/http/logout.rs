//! `POST /auth/token/destroy/`: logs out: revokes the token and closes its sockets.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    confab.log_out(&caller).await?;
    Ok(Answer::no_content())
}
