//! `delete`: takes a message back.

use confab_shared::{Confab, Result, websocket::Said};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, said: &Said) -> Result<Option<String>> {
    confab.take_message_back(&said.connection_id, &said.fields()?).await.map(Some)
}
