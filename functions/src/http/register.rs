//! `POST /auth/users/create`: registers a user.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let user = confab.register(&request.fields().await?, request.source).await?;
    Response::created(&json!({ "email": user.email, "username": user.username, "id": user.id }))
}
