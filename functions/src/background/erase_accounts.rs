//! Erases deleted accounts in the background, a step at a time.

use confab_shared::{Confab, ids::MessageId, realtime::batch::Batch};

pub(crate) async fn handle(confab: &Confab, batch: Batch) -> Vec<MessageId> {
    confab.erase_accounts(batch).await
}
