//! `delete`: takes a message back.

use confab_shared::{Confab, Result, api::websocket::ClientFrame};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, frame: &ClientFrame) -> Result<Option<String>> {
    confab.take_message_back(&frame.connection_id, &frame.fields()?).await.map(Some)
}
