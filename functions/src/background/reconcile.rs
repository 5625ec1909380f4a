//! The reconciler: closes the sockets and ends the subscriptions of users whose right to them has ended, in case the
//! function that ended it got no further, and publishes presence.

use confab_shared::{Confab, ids::SequenceNumber, realtime::stream::StreamRecord};

pub(crate) async fn handle(confab: &Confab, records: &[StreamRecord]) -> Option<SequenceNumber> {
    confab.reconcile(records).await
}
