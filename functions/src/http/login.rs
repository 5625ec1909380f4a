//! `POST /auth/token/create/`: logs a user in, with a new token for a username and a password.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let token = confab.log_in(&request.fields().await?, request.source).await?;
    Answer::ok(&json!({ "auth_token": token.reveal() }))
}
