//! `POST /auth/users/create`: registers a user.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
    auth::user::{Profile, User},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let Profile { user, is_active, .. } = confab.register(&request.fields().await?, request.source).await?;
    let User { email, username, id, .. } = user;
    Response::created(&json!({ "email": email, "username": username, "id": id, "is_active": is_active }))
}
