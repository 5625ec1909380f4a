//! `POST /api/chats`: starts a chat. As in the original, the body is not read.

use confab_shared::{
    Confab, Result,
    api::http::{Request, Response},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Response> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    let uri = confab.start_chat(&caller).await?;
    Response::ok(&json!({ "status": "SUCCESS", "uri": uri, "message": "New chat session created" }))
}
