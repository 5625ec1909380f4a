//! The fan-out: delivers what comes through the exchange's queue to the sockets of each room.

use confab_shared::{Confab, fanout::Record};

/// Delivers a batch, and names the messages that must be tried again.
pub async fn handle(confab: &Confab, records: Vec<Record>) -> Vec<String> {
    confab.fan_out(records).await
}
