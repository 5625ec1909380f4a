//! `POST /api/chats/`: starts a chat. As in the original, the body is not read.

use confab_shared::{
    Confab, Result,
    api::http::{Answer, Request},
};
use serde_json::json;

pub(crate) async fn handle(confab: &Confab, request: &Request) -> Result<Answer> {
    let caller = confab.authenticate(request.token()?.as_ref()).await?;
    let uri = confab.start_chat(&caller).await?;
    Answer::ok(&json!({ "status": "SUCCESS", "uri": uri, "message": "New chat session created" }))
}
