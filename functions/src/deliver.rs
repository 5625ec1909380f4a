//! The second step of the fan-out, for large rooms: delivers to one shard of a room, or to a socket that could not be written to.

use confab_shared::{Confab, batch::Batch};

/// Delivers a batch until the deadline, and names the messages that must be tried again.
pub async fn handle(confab: &Confab, batch: Batch) -> Vec<String> {
    confab.deliver(batch).await
}
