//! `$disconnect`: forgets a socket that is closed.

use confab_shared::{Confab, Result};

/// Forgets the connection.
///
/// # Errors
/// When the table fails.
pub async fn handle(confab: &Confab, connection_id: &str) -> Result<()> {
    confab.drop_connection(connection_id).await
}
