//! The fan-out: delivers what comes through the exchange's queue to the sockets of each room.

use std::time::Instant;

use confab_shared::{Confab, fanout::Record};

/// Delivers a batch until the deadline, and names the messages that must be tried again.
pub async fn handle(confab: &Confab, (records, deadline): (Vec<Record>, Instant)) -> Vec<String> {
    confab.fan_out(records, deadline).await
}
