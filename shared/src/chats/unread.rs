//! Counting what a member has not read.
//!
//! Chats and members count messages as they are posted, and a marker at the log's end remembers the counts, so that what has come
//! since is a subtraction. A count says how many messages were deleted, but not which; so where messages have been deleted since, and where
//! the marker was set before the log's end, the log is read, and that is bounded for all chats of a request together.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    Confab, Result,
    aws::table::read,
    chats::chat::Chat,
    chats::log::Entry,
    chats::members::Member,
    ids::{EntryId, LAST_ID},
};

/// Unread messages are counted up to here.
pub(crate) const UNREAD: u64 = 99;
/// The most entries behind the marker of one chat that are read.
const ENTRIES: usize = 1000;
/// Entries per read.
const ENTRIES_PER_READ: usize = UNREAD as usize + 1;

/// The messages of others behind a member's read marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// A lower bound where `more` is set; 99 at most.
    pub(crate) count: u64,
    /// Whether there may be more.
    pub(crate) more: bool,
}

impl Unread {
    fn exactly(count: u64) -> Self {
        Self { count: count.min(UNREAD), more: count > UNREAD }
    }

    fn at_least(count: u64) -> Self {
        Self { count: count.min(UNREAD), more: true }
    }

    /// What the counts tell: how many, and whether that is exact. Otherwise it is the least that there can be.
    fn counted(chat: &Chat, member: &Member) -> Option<(u64, bool)> {
        let counts = member.read_counts.filter(|counts| counts.own_last_id <= member.read_id)?;
        let own = member.own_count.saturating_sub(counts.own);
        let messages = chat.message_count.saturating_sub(counts.messages).saturating_sub(own);
        let deletions = chat.deletion_count.saturating_sub(counts.deletions);
        Some((messages.saturating_sub(deletions), deletions == 0))
    }
}

/// How often a request may still read a log.
#[derive(Debug)]
pub(crate) struct ReadBudget(AtomicUsize);

impl ReadBudget {
    pub(crate) fn new(reads: usize) -> Self {
        Self(AtomicUsize::new(reads))
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reads| reads.checked_sub(1)).is_ok()
    }
}

impl Confab {
    /// Counts what a member has not read.
    pub(crate) async fn unread(&self, chat: &Chat, member: &Member, budget: &ReadBudget) -> Result<Unread> {
        if chat.last_message_id <= member.read_id {
            return Ok(Unread::exactly(0));
        }
        match Unread::counted(chat, member) {
            Some((count, true)) => Ok(Unread::exactly(count)),
            Some((least, false)) if least > UNREAD => Ok(Unread::exactly(least)),
            counted => self.unread_in_log(chat, member, counted.map_or(0, |(least, _)| least), budget).await,
        }
    }

    async fn unread_in_log(&self, chat: &Chat, member: &Member, least: u64, budget: &ReadBudget) -> Result<Unread> {
        let (mut unread, mut seen): (u64, EntryId) = (0, member.read_id);
        let mut pages = self.log_pages(&chat.uri, member.read_id + 1, LAST_ID).limit(ENTRIES_PER_READ);
        for _ in 0..ENTRIES / ENTRIES_PER_READ {
            if !budget.take() {
                return Ok(Unread::at_least(unread.max(least)));
            }
            let Some(page) = pages.next().await? else { return Ok(Unread::exactly(unread)) };
            for item in &page {
                let entry: Entry = read(item)?;
                // What is behind a hole does not count yet: see `log`.
                if entry.id != seen + 1 {
                    return Ok(Unread::exactly(unread));
                }
                seen = entry.id;
                unread += u64::from(entry.is_message() && entry.body.user_id != member.user_id);
            }
            if unread > UNREAD {
                return Ok(Unread::exactly(unread));
            }
        }
        match seen < chat.last_message_id {
            true => Ok(Unread::at_least(unread.max(least))),
            false => Ok(Unread::exactly(unread)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chats::members::Role, date::Date, ids::UserId};

    fn chat(message_count: u64, deletion_count: u64) -> Chat {
        let (uri, now) = ("0123456789abcde".parse().unwrap(), Date::now());
        Chat {
            uri,
            id: 1,
            owner_id: UserId(1),
            last_id: 100,
            last_message_id: 100,
            member_count: 2,
            message_count,
            deletion_count,
            create_date: now,
            update_date: now,
        }
    }

    #[test]
    fn counts_are_exact_where_they_can_be() {
        let member = Member::new(UserId(1), Role::Member, 5, Date::now(), &chat(10, 3));
        assert_eq!(Unread::counted(&chat(14, 3), &member), Some((4, true)));
        assert_eq!(Unread::counted(&chat(14, 4), &member), Some((3, false)), "one of the four may be deleted");
        let spoke = Member { own_count: 3, own_last_id: 8, ..member.clone() };
        assert_eq!(Unread::counted(&chat(14, 3), &spoke), Some((1, true)));
        // The marker was set while a message of the member's own was already behind it.
        let counts = spoke.read_counts.map(|counts| ReadCounts { own: 3, own_last_id: 8, ..counts });
        assert_eq!(Unread::counted(&chat(14, 3), &Member { read_counts: counts, ..spoke }), None);
        assert_eq!(Unread::counted(&chat(14, 3), &Member { read_counts: None, ..member }), None);
    }

    use crate::chats::members::ReadCounts;
}
