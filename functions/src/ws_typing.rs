//! `typing`: tells the others that the caller is typing. It is not answered, unless something is wrong.

use confab_shared::{Confab, Result, websocket::Said};

/// Answers one frame.
///
/// # Errors
/// What the client is to be told.
pub async fn handle(confab: &Confab, said: &Said) -> Result<Option<String>> {
    confab.typing(&said.connection_id, &said.fields()?).await.map(|()| None)
}
