//! `$default`: answers `ping`, and says of everything else that it is no action.

use confab_shared::{Confab, Result, websocket::Said};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, said: &Said) -> Result<Option<String>> {
    confab.other_action(&said.connection_id, &said.fields()?).await.map(Some)
}
