//! `$default`: answers `ping`, and says of everything else that it is no action.

use confab_shared::{Confab, Result, api::websocket::ClientFrame};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, frame: &ClientFrame) -> Result<Option<String>> {
    confab.other_action(&frame.connection_id, &frame.fields()?).await.map(Some)
}
