//! The second step of the fan-out, for large chats: delivers to one shard of a chat, or to a socket that could not be
//! written to.

use confab_shared::{Confab, ids::MessageId, realtime::batch::Batch};

pub(crate) async fn handle(confab: &Confab, batch: Batch) -> Vec<MessageId> {
    confab.deliver(batch).await
}
