//! Appending right behind the entry that a chat ends with, in one transaction that is conditional on it.

use backon::BackoffBuilder;

use super::{
    chat::Chat,
    contention::{CONTENTION, back_off},
    entry::{Entry, EntryBody},
};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    aws::table::{Transacted, Write},
    date::Date,
    ids::{EntryId, UserId},
    metrics::{self, Metric},
};

impl Confab {
    /// Appends entries right behind the one that the chat ends with; `None` where another append was first, or is at
    /// work. Conflicts on other items, such as the number of a user's chats, are retried.
    pub(super) async fn append_next(
        &self,
        chat: &Chat,
        actor: Option<UserId>,
        bodies: &[EntryBody],
        changes: impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Option<Vec<Entry>>> {
        let create_date = Date::now();
        let entries =
            (chat.last_id.next().0..).zip(bodies).map(|(id, body)| Entry::new(EntryId(id), body.clone(), create_date));
        let entries: Vec<Entry> = entries.collect();
        // The first failed condition counts: a change's own before another append's being first.
        let mut writes = changes(chat, &entries)?;
        writes.extend(actor.and_then(|actor| self.charge(Rate::Entries, actor, entries.len())));
        let others = writes.len();
        writes.push(chat.advance(&entries, create_date)?);
        for entry in &entries {
            writes.push(entry.put_if_absent(&chat.uri)?);
        }
        let mut pauses = back_off().with_total_delay(Some(CONTENTION)).without_max_times().build();
        loop {
            let places = match self.table().transact_once(writes.clone()).await {
                Ok(Transacted::Done) => return Ok(Some(entries)),
                Ok(Transacted::Conflict(places)) => places,
                Err(Error::Behind) => vec![others],
                Err(error) => return Err(error),
            };
            metrics::count(Metric::TransactionRetries, 1);
            if places.is_empty() || places.iter().any(|place| *place >= others) {
                return Ok(None);
            }
            tokio::time::sleep(pauses.next().ok_or(Error::Busy(None))?).await;
        }
    }
}
