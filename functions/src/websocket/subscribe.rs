//! `subscribe`: subscribes the socket to a chat, and catches up with what it missed.

use confab_shared::{Confab, Result, api::websocket::ClientFrame};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, frame: &ClientFrame) -> Result<Option<String>> {
    confab.subscribe(&frame.connection_id, &frame.fields()?).await.map(Some)
}
