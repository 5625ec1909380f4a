//! `POST /auth/users/create/`: registers a user.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let user = confab.register(&request.fields().await?, request.source).await?;
    Answer::created(&json!({ "email": user.email, "username": user.username, "id": user.id }))
}
