//! `GET`, `PUT` and `PATCH /auth/me/`: shows and changes the caller's profile.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use http::Method;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    match request.method {
        Method::GET => Answer::ok(&caller.user),
        _ => Answer::ok(&confab.update_profile(&caller.user, &request.fields().await?).await?),
    }
}
