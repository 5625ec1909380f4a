//! `$connect`: lets a socket in, and subscribes it at once where it names a chat with `?uri=`.

use confab_shared::{Confab, Result, api::websocket::ConnectRequest};

/// Lets the socket in, and names the subprotocol to select.
///
/// # Errors
/// Why the socket is refused.
pub async fn handle(confab: &Confab, opening: &ConnectRequest) -> Result<Option<&'static str>> {
    confab.connect(&opening.connection_id, opening.token()?.as_ref(), opening.uri.as_deref()).await?;
    Ok(opening.protocol())
}
