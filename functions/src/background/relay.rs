//! The relay: publishes every log entry that the table's stream reports, in case the function that wrote it got no
//! further.

use confab_shared::{Confab, ids::SequenceNumber, realtime::stream::StreamRecord};

pub(crate) async fn handle(confab: &Confab, records: &[StreamRecord]) -> Option<SequenceNumber> {
    confab.relay(records).await
}
