//! `react`: puts an emoji to a message, or takes it away.

use confab_shared::{Confab, Result, websocket::Said};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, said: &Said) -> Result<Option<String>> {
    confab.react_to_message(&said.connection_id, &said.fields()?).await.map(Some)
}
