//! Closes the sockets and ends the subscriptions of those whose right to them has ended, in case whoever ended it got no further.

use confab_shared::{Confab, change::Change};

/// Goes through the changes in order, and names the first that must be tried again.
pub async fn handle(confab: &Confab, changes: &[Change]) -> Option<String> {
    for change in changes {
        if let Err(error) = confab.revoke(change).await {
            error.log();
            return Some(change.sequence_number.clone());
        }
    }
    None
}
