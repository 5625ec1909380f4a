//! `edit`: has a message of one's own say something else.

use confab_shared::{Confab, Result, websocket::Said};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, said: &Said) -> Result<Option<String>> {
    confab.edit_message(&said.connection_id, &said.fields()?).await.map(Some)
}
