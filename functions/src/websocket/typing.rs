//! `typing`: tells the others that the caller is typing. It is not answered, unless something is wrong.

use confab_shared::{Confab, Result, api::websocket::ClientFrame};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, frame: &ClientFrame) -> Result<Option<String>> {
    confab.typing(&frame.connection_id, &frame.fields()?).await.map(|()| None)
}
