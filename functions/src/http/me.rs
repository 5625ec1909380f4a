//! `GET`, `PUT` and `PATCH /auth/me`: shows and changes the caller's profile.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use http::Method;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    match request.method {
        Method::GET | Method::HEAD => Response::ok(&caller.user),
        _ => Response::ok(&confab.update_profile(&caller.user, &request.fields().await?).await?),
    }
}
