//! Appending to a hot chat: an id is reserved by an update that cannot lose, and the entry is committed under it in a
//! transaction without the chat's item. So posters share one write unit of the chat's item, and do not make each other
//! fail.
//!
//! | step | call |
//! |---|---|
//! | charge | the rate limit, first: otherwise each request beyond the limit would leave a void |
//! | reserve | an update of the chat: `last_id` and the counts step on |
//! | commit | a transaction: the entry, if it is absent, with what belongs to it |
//!
//! An id that is reserved and not committed is a hole, at which readers stop. Its author closes it with a void if the
//! commit is refused. If the author died, the fan-out does ([`LEASE`]), and a late commit is refused and reserves anew:
//! nothing is lost, and nothing is doubled.

use std::time::{Duration, Instant};

use backon::BackoffBuilder;

use super::{
    chat::Chat,
    contention::{CONTENTION, back_off},
    entry::{Entry, EntryBody, EntryType},
};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    aws::table::{Applied, Write, read},
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    metrics::{self, Metric},
};

/// How long an author has to commit, counted from the date of an entry behind the hole. Only a date and the clock of
/// the fan-out are compared, so clocks that differ make it longer or shorter, and never wrong.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts to commit, while others are at work on items of the same author or message.
const COMMIT_PAUSE: Duration = Duration::from_millis(50);

impl Chat {
    /// Reserves the next id, with what the chat shows of the entry. Fails while the log is locked.
    fn reserve(uri: &ChatUri, kind: EntryType) -> Result<Write> {
        let is = |other| u64::from(kind == other);
        let set_message = if kind == EntryType::Message { ", last_message_id = last_id + :one" } else { "" };
        let set = format!("SET last_id = last_id + :one, update_date = :now, reserve_date = :now{set_message}");
        let add = "ADD message_count :messages, deletion_count :deletions";
        Write::update(Self::key(uri), &format!("{set} {add}"))
            .when("attribute_exists(pk) AND (attribute_not_exists(locked_until) OR locked_until < :now)")
            .number(":one", 1)
            .number(":messages", is(EntryType::Message))
            .number(":deletions", is(EntryType::Deleted))
            .serialized(":now", &Date::now())
    }
}

impl Confab {
    /// Appends an entry as [`Confab::append`] does, under a reserved id.
    pub(super) async fn append_reserved(
        &self,
        uri: &ChatUri,
        actor: Option<UserId>,
        body: &EntryBody,
        changes: impl Fn(&Chat, &Entry) -> Result<Vec<Write>>,
    ) -> Result<Entry> {
        if let Some(actor) = actor {
            self.throttle(Rate::Entries, actor, 1).await?;
        }
        let started = Instant::now();
        while started.elapsed() < CONTENTION {
            let chat = self.reserve(uri, body.kind).await?;
            let entry = Entry::new(chat.last_id, body.clone(), Date::now());
            match self.commit(&chat, &entry, &changes).await {
                Ok(()) => return Ok(entry),
                Err(Error::Behind) => metrics::count(Metric::TransactionRetries, 1),
                // The entry may be in the log all the same.
                Err(error @ Error::Busy(_)) => return Err(error),
                Err(error) => {
                    self.close(uri, entry.id).await.unwrap_or_else(|failure| failure.log());
                    return Err(error);
                }
            }
        }
        Err(Error::Busy(None))
    }

    /// Reserves an id: the chat as it is then, with the id as the last one.
    async fn reserve(&self, uri: &ChatUri, kind: EntryType) -> Result<Chat> {
        loop {
            match self.table().attempt(Chat::reserve(uri, kind)?).await? {
                Applied::Done(Some(item)) => return read(item),
                Applied::ConditionFailed(Some(_)) => self.wait_for_lock(uri).await?,
                Applied::Done(None) | Applied::ConditionFailed(None) => return Err(Error::NotFound),
            }
        }
    }

    async fn commit(
        &self,
        chat: &Chat,
        entry: &Entry,
        changes: &impl Fn(&Chat, &Entry) -> Result<Vec<Write>>,
    ) -> Result<()> {
        let mut writes = changes(chat, entry)?;
        writes.push(entry.put_if_absent(&chat.uri)?);
        // Others wait for the entry, so the pauses stay short.
        let pauses = back_off().with_max_delay(COMMIT_PAUSE).with_total_delay(Some(CONTENTION)).without_max_times();
        self.table().transact_with(writes, pauses.build()).await
    }

    /// Closes a reserved id with a void, unless its entry is there.
    pub(crate) async fn close(&self, uri: &ChatUri, id: EntryId) -> Result<()> {
        // Reserving a message has counted it. If it counts as deleted, too, readers look into the log. First, since a
        // deletion too much is harmless.
        let count = Write::update(Chat::key(uri), "ADD deletion_count :one").if_present().number(":one", 1);
        self.table().apply(count.otherwise(|_| Error::NotFound)).await?;
        self.table().attempt(Entry::void(id).put_if_absent(uri)?).await.map(drop)
    }

    /// Waits while the log is locked. It reads, since a write could conflict with the transaction of who has locked it.
    pub(super) async fn wait_for_lock(&self, uri: &ChatUri) -> Result<()> {
        for pause in back_off().with_total_delay(Some(CONTENTION)).without_max_times().build() {
            tokio::time::sleep(pause).await;
            if !self.chat(uri).await?.is_locked() {
                return Ok(());
            }
        }
        Err(Error::Busy(Some("the log is locked".into())))
    }
}
