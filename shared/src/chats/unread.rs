//! Counting unread messages.
//!
//! Chats and memberships count messages as they are posted, and a marker at the log's end remembers the counts, so that
//! what was posted since is a subtraction. A count says how many messages were deleted, but not which; so where
//! messages have been deleted since, and where the marker was set before the log's end, the log is read, within a
//! budget for all chats of a request.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{chat::Chat, log_scan::Scanned, member::Member};
use crate::{Confab, Result};

/// Unread messages are counted up to here.
const UNREAD: u64 = 99;
/// The most reads of the log of one chat.
const READS: usize = 10;
/// Entries per read.
const ENTRIES_PER_READ: usize = UNREAD as usize + 1;

/// The messages of others behind a member's read marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    /// A lower bound where `more` is set; 99 at most.
    pub(super) count: u64,
    /// Whether there may be more.
    pub(super) more: bool,
}

impl Unread {
    fn exactly(count: u64) -> Self {
        Self { count: count.min(UNREAD), more: count > UNREAD }
    }

    fn at_least(count: u64) -> Self {
        Self { count: count.min(UNREAD), more: true }
    }

    /// The number according to the counts, and whether it is exact; otherwise it is a lower bound.
    fn counted(chat: &Chat, member: &Member, own_count: u64) -> Option<(u64, bool)> {
        let counts = member.read_counts?;
        let own = own_count.saturating_sub(counts.own);
        let messages = chat.message_count.saturating_sub(counts.messages).saturating_sub(own);
        let deletions = chat.deletion_count.saturating_sub(counts.deletions);
        Some((messages.saturating_sub(deletions), deletions == 0))
    }
}

/// How many reads of logs a request has left.
#[derive(Debug)]
pub(super) struct ReadBudget(AtomicUsize);

impl ReadBudget {
    pub(super) fn new(reads: usize) -> Self {
        Self(AtomicUsize::new(reads))
    }

    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reads| reads.checked_sub(1)).is_ok()
    }
}

impl Confab {
    /// Counts a member's unread messages. `own_count` is the number of their messages since they joined; without it the log
    /// is read.
    pub(super) async fn unread(
        &self,
        chat: &Chat,
        member: &Member,
        own_count: Option<u64>,
        budget: &ReadBudget,
    ) -> Result<Unread> {
        if chat.last_message_id <= member.read_id {
            return Ok(Unread::exactly(0));
        }
        match own_count.and_then(|own_count| Unread::counted(chat, member, own_count)) {
            Some((count, true)) => Ok(Unread::exactly(count)),
            Some((least, false)) if least > UNREAD => Ok(Unread::exactly(least)),
            counted => self.unread_in_log(chat, member, counted.map_or(0, |(least, _)| least), budget).await,
        }
    }

    async fn unread_in_log(&self, chat: &Chat, member: &Member, least: u64, budget: &ReadBudget) -> Result<Unread> {
        let mut scan = self.scan_after(&chat.uri, member.read_id).page_size(ENTRIES_PER_READ);
        let (mut unread, mut reads) = (0, 0);
        while unread <= UNREAD {
            if scan.needs_read() {
                if reads == READS && scan.seen() >= Some(chat.last_message_id) {
                    break;
                }
                if reads == READS || !budget.take() {
                    return Ok(Unread::at_least(unread.max(least)));
                }
                reads += 1;
            }
            let Some(Scanned { entry, .. }) = scan.next().await? else { break };
            unread += u64::from(entry.is_message() && entry.body.user_id != member.user_id);
        }
        Ok(Unread::exactly(unread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chats::member::Role,
        date::Date,
        ids::{EntryId, UserId},
    };

    fn chat(message_count: u64, deletion_count: u64) -> Chat {
        let chat = Chat::new("0123456789abcde".parse().unwrap(), 1, UserId(1));
        Chat {
            last_id: EntryId(100),
            last_message_id: EntryId(100),
            member_count: 2,
            message_count,
            deletion_count,
            ..chat
        }
    }

    #[test]
    fn counts_are_exact_where_they_can_be() {
        let member = Member::new(UserId(1), Role::Member, EntryId(5), Date::now(), &chat(10, 3));
        assert_eq!(Unread::counted(&chat(14, 3), &member, 0), Some((4, true)));
        assert_eq!(Unread::counted(&chat(14, 4), &member, 0), Some((3, false)), "one of the four may be deleted");
        assert_eq!(Unread::counted(&chat(14, 3), &member, 3), Some((1, true)), "three are their own");
        assert_eq!(Unread::counted(&chat(14, 3), &Member { read_counts: None, ..member }, 0), None);
    }
}
