//! `POST /auth/token/create`: logs a user in, with a new token for a username and a password.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let fields = request.fields().await?;
    let token = confab.log_in(&fields, request.source, request.client_info()).await?;
    Response::ok(&json!({ "auth_token": token.reveal() }))
}
