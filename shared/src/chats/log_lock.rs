//! Appending exclusively to a hot chat: while its log is locked, nobody reserves an id, so a transaction that is
//! conditional on `last_id` succeeds.
//!
//! The lock is fairness and not correctness: it expires, and a transaction whose lock has expired fails on `last_id`.

use std::time::{Duration, Instant};

use backon::BackoffBuilder;

use super::{
    chat::Chat,
    contention::{CONTENTION, back_off},
    entry::{Entry, EntryBody},
};
use crate::{
    Confab, Error, Result,
    aws::table::{Applied, Write, read},
    date::Date,
    ids::{ChatUri, UserId},
    random,
};

/// How long a log stays locked if the holder fails. A transaction takes some hundredths of a second.
const LOCK: Duration = Duration::from_secs(1);

impl Chat {
    /// Locks the log, unless another holder has. A holder may lock it again.
    fn lock(uri: &ChatUri, holder: &str) -> Result<Write> {
        let now = Date::now();
        Write::update(Self::key(uri), "SET locked_until = :until, lock_holder = :holder, reserve_date = :now")
            .when("attribute_exists(pk) AND (attribute_not_exists(locked_until) OR locked_until < :now OR lock_holder = :holder)")
            .text(":holder", holder)
            .serialized(":until", &now.plus(LOCK))?
            .serialized(":now", &now)
    }

    fn unlock(uri: &ChatUri, holder: &str) -> Write {
        Write::update(Self::key(uri), "REMOVE locked_until, lock_holder")
            .when("lock_holder = :holder")
            .text(":holder", holder)
    }
}

impl Confab {
    /// Appends entries as [`Confab::append_about_members`] does, while the log is locked.
    pub(super) async fn append_locked(
        &self,
        uri: &ChatUri,
        actor: Option<UserId>,
        bodies: &[EntryBody],
        changes: &impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Vec<Entry>> {
        let holder = random::hex::<8>()?;
        let appended = self.append_as_holder(uri, &holder, actor, bodies, changes).await;
        // Otherwise it expires.
        self.table().attempt(Chat::unlock(uri, &holder)).await.map_or_else(|failure| failure.log(), drop);
        appended
    }

    async fn append_as_holder(
        &self,
        uri: &ChatUri,
        holder: &str,
        actor: Option<UserId>,
        bodies: &[EntryBody],
        changes: &impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Vec<Entry>> {
        let (started, mut pauses) = (Instant::now(), back_off().without_max_times().build());
        while started.elapsed() < CONTENTION {
            match self.table().attempt(Chat::lock(uri, holder)?).await? {
                Applied::Done(Some(chat)) => {
                    if let Some(entries) = self.append_next(&read(chat)?, actor, bodies, changes).await? {
                        return Ok(entries);
                    }
                    // An update that was on its way when the log was locked.
                    tokio::time::sleep(pauses.next().unwrap_or_default()).await;
                }
                Applied::ConditionFailed(Some(_)) => self.wait_for_lock(uri).await?,
                Applied::Done(None) | Applied::ConditionFailed(None) => return Err(Error::NotFound),
            }
        }
        Err(Error::Busy(None))
    }
}
