//! `POST /auth/token/exchange`: logs a user in whom another system has authenticated, with a new token for its JWT.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let token = confab.exchange_token(&request.fields().await?, request.source, request.client_info()).await?;
    Response::ok(&json!({ "auth_token": token.reveal() }))
}
