//! The relay: publishes every log entry that the table's stream tells of, in case whoever wrote it got no further than that.

use confab_shared::{Confab, realtime::stream::StreamRecord};

/// Publishes what was written, and names the first change that must be tried again.
pub async fn handle(confab: &Confab, changes: &[StreamRecord]) -> Option<String> {
    confab.relay(changes).await
}
