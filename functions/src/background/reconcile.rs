//! Settles what follows from changes of the table: closes the sockets and ends the subscriptions of those whose right to them has ended,
//! in case whoever ended it got no further, and tells chats who comes and goes.

use confab_shared::{Confab, realtime::stream::StreamRecord};

/// Goes through the changes in order, and names the first that must be tried again.
pub async fn handle(confab: &Confab, changes: &[StreamRecord]) -> Option<String> {
    confab.reconcile(changes).await
}
