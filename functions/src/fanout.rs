//! The fan-out: delivers what comes through the exchange's queue to the sockets of each room.

use confab_shared::{Confab, batch::Batch};

/// Delivers a batch until the deadline, and names the messages that must be tried again.
pub async fn handle(confab: &Confab, batch: Batch) -> Vec<String> {
    confab.fan_out(batch).await
}
