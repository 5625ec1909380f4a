//! The fan-out: delivers what comes through the exchange's queue to the sockets of each chat.

use confab_shared::{Confab, ids::MessageId, realtime::batch::Batch};

pub(crate) async fn handle(confab: &Confab, batch: Batch) -> Vec<MessageId> {
    confab.fan_out(batch).await
}
