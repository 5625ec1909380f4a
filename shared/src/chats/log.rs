//! Appending to a chat's log, in which everything that happens is numbered from 1 without gaps.
//!
//! **Invariant.** An entry is written in one transaction with the step of its chat's `last_id` and with the state that
//! it changes. So a reader who has seen n knows that everything below n exists, and "everything after n" is a complete
//! answer.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

use super::{
    chat::Chat,
    entry::{Entry, EntryBody},
};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    aws::table::{Transacted, Write, read},
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    metrics::{self, Metric},
};

/// How long an append contends with others before the caller gets a 503, well before API Gateway's limit of 30 seconds.
const CONTENTION: Duration = Duration::from_secs(8);

/// The back-off of requests that contend for a chat's log.
pub(super) fn back_off() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(8))
        .with_max_delay(Duration::from_millis(400))
        .with_factor(1.5)
        .with_jitter()
}

/// How an attempt to append ended.
enum Attempt {
    /// These entries are in the log.
    Written(Vec<Entry>),
    /// Another append was first. With the chat as that one left it, where the failed condition returned it.
    Behind(Option<Chat>),
}

impl Confab {
    /// Appends entries to a chat's log on behalf of `actor`, whose rate limit they count against, in one transaction
    /// with the changes that `changes` returns. `chat` is the chat as it was last read; `changes` gets the chat as it
    /// is right before the entries. If the log has grown since, the append is retried behind it (optimistic
    /// concurrency).
    ///
    /// # Errors
    /// The error of the first change whose condition fails ([`Write::otherwise`]); [`Error::Throttled`];
    /// [`Error::NotFound`] without a chat; [`Error::Busy`] after too long a contention.
    pub(crate) async fn append(
        &self,
        chat: &Chat,
        actor: UserId,
        bodies: &[EntryBody],
        changes: impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Vec<Entry>> {
        let mut chat = chat.clone();
        let mut pauses = back_off().without_max_times().build();
        let started = Instant::now();
        let mut has_backed_off = true;
        loop {
            // The failed condition returns the chat as it is now, which is good for one immediate retry. Then it backs
            // off, or a crowd would go on failing each other; and since the log grows meanwhile, it reads the chat
            // again.
            match self.append_once(&chat, actor, bodies, &changes).await? {
                Attempt::Written(entries) => return Ok(entries),
                Attempt::Behind(Some(current)) if has_backed_off => {
                    chat = current;
                    has_backed_off = false;
                }
                Attempt::Behind(_) => {
                    let pause = pauses.next().filter(|_| started.elapsed() < CONTENTION);
                    tokio::time::sleep(pause.ok_or(Error::Busy(None))?).await;
                    chat = self.chat(&chat.uri).await?;
                    has_backed_off = true;
                }
            }
        }
    }

    async fn append_once(
        &self,
        chat: &Chat,
        actor: UserId,
        bodies: &[EntryBody],
        changes: &impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Attempt> {
        let create_date = Date::now();
        let entries =
            (chat.last_id.next().0..).zip(bodies).map(|(id, body)| Entry::new(EntryId(id), body.clone(), create_date));
        let entries: Vec<Entry> = entries.collect();
        // The first failed condition counts: a change's own before another append's being first.
        let mut writes = changes(chat, &entries)?;
        writes.extend(self.charge(Rate::Entries, actor, entries.len()));
        writes.push(chat.advance(&entries, create_date)?);
        for entry in &entries {
            let put = Write::put(Entry::key(&chat.uri, entry.id), entry)?.if_absent();
            writes.push(put.otherwise(|_| Error::Behind(None)));
        }
        let behind = match self.table().transact_once(writes).await {
            Ok(Transacted::Done) => return Ok(Attempt::Written(entries)),
            Ok(Transacted::Conflict) => None,
            Err(Error::Behind(chat)) => chat,
            Err(error) => return Err(error),
        };
        metrics::count(Metric::TransactionRetries, 1);
        Ok(Attempt::Behind(behind.map(read).transpose()?))
    }

    /// The entries after `after`, oldest first, until the end of the log or until `enough` says so at the end of a
    /// read.
    pub(crate) async fn entries_after(
        &self,
        uri: &ChatUri,
        after: EntryId,
        enough: impl Fn(&[Entry]) -> bool,
    ) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut scan = self.scan_after(uri, after);
        while !(scan.needs_read() && enough(&entries))
            && let Some(scanned) = scan.next().await?
        {
            entries.push(scanned.entry);
        }
        Ok(entries)
    }
}
