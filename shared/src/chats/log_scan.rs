//! Bounded scans of a log, in either direction.
//!
//! **Invariant.** No reader shows an entry whose predecessor it has not read. A query may see another's transaction
//! half done (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>,
//! "read-committed"), so an entry can be visible before its predecessor is. A forward scan ends at such a hole; in a
//! backward scan, an entry that follows one says so.

use std::vec;

use crate::{
    Confab, Result,
    aws::table::{Item, Pages, read},
    chats::entry::{Entry, sort_key},
    ids::{ChatUri, EntryId},
    key::{Key, Partition},
};

/// A scan that is under way.
#[derive(Debug)]
pub(crate) struct LogScan<'a> {
    pages: Pages<'a>,
    page: vec::IntoIter<Item>,
    is_backward: bool,
    /// The entry that was read last, or in a forward scan the one before the first.
    seen: Option<EntryId>,
    scanned: usize,
    bound: usize,
    has_ended: bool,
}

/// An entry of a scan.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) entry: Entry,
    /// In a backward scan: the entries that were scanned before this one follow a hole and must not be shown.
    pub(crate) follows_hole: bool,
}

impl Confab {
    /// Scans the entries after `after`, oldest first.
    pub(crate) fn scan_after(&self, uri: &ChatUri, after: EntryId) -> LogScan<'_> {
        self.scan_range(uri, after, EntryId::LAST.next())
    }

    /// Scans the entries after `after` and before `before`, oldest first.
    pub(crate) fn scan_range(&self, uri: &ChatUri, after: EntryId, before: EntryId) -> LogScan<'_> {
        LogScan::new(self.log_pages(uri, after.next(), before.previous()), Some(after))
    }

    /// Scans the entries before `before`, newest first.
    pub(crate) fn scan_before(&self, uri: &ChatUri, before: EntryId) -> LogScan<'_> {
        let pages = self.log_pages(uri, EntryId(1), before.previous()).backward();
        LogScan { is_backward: true, ..LogScan::new(pages, None) }
    }

    fn log_pages(&self, uri: &ChatUri, first: EntryId, last: EntryId) -> Pages<'_> {
        self.table().pages(Partition::Log.of(uri)).between(sort_key(first), sort_key(last))
    }
}

impl<'a> LogScan<'a> {
    fn new(pages: Pages<'a>, seen: Option<EntryId>) -> Self {
        Self {
            pages,
            page: Vec::new().into_iter(),
            is_backward: false,
            seen,
            scanned: 0,
            bound: usize::MAX,
            has_ended: false,
        }
    }

    /// At most this many entries a read.
    pub(crate) fn page_size(self, entries: usize) -> Self {
        Self { pages: self.pages.limit(entries), ..self }
    }

    /// Stops after the read with which it has this many entries.
    pub(crate) fn bound(self, entries: usize) -> Self {
        Self { bound: entries, ..self }
    }

    /// The entry that was read last, or in a forward scan the one before the first.
    pub(crate) fn seen(&self) -> Option<EntryId> {
        self.seen
    }

    /// Whether the next entry takes a read of the table.
    pub(crate) fn needs_read(&self) -> bool {
        self.page.len() == 0 && !self.has_ended && !self.is_bounded()
    }

    /// Whether it stopped at its bound, rather than at the end of the log or at a hole.
    pub(crate) fn is_bounded(&self) -> bool {
        self.scanned >= self.bound && !self.has_ended
    }

    /// The next entry; none at the end of the log, at the bound, and in a forward scan at a hole.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not an entry.
    pub(crate) async fn next(&mut self) -> Result<Option<Scanned>> {
        loop {
            if let Some(item) = self.page.next() {
                return self.scanned(read(item)?);
            }
            if !self.needs_read() {
                return Ok(None);
            }
            match self.pages.next().await? {
                Some(items) => {
                    self.scanned += items.len();
                    self.page = items.into_iter();
                }
                None => self.has_ended = true,
            }
        }
    }

    /// The keys of the entries that are left, holes or not.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub(crate) async fn keys(self) -> Result<Vec<Key>> {
        self.pages.all().await
    }

    fn scanned(&mut self, entry: Entry) -> Result<Option<Scanned>> {
        let follows_hole = self.seen.is_some_and(|seen| entry.id.0.abs_diff(seen.0) != 1);
        if follows_hole && !self.is_backward {
            self.has_ended = true;
            self.page = Vec::new().into_iter();
            return Ok(None);
        }
        self.seen = Some(entry.id);
        Ok(Some(Scanned { entry, follows_hole }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chats::entry::{EntryBody, EntryType},
        date::Date,
        environment::Environment,
        ids::UserId,
    };
    use proptest::prelude::*;

    /// The ids that a scan yields of entries with these ids, and whether each follows a hole.
    fn yielded(mut scan: LogScan<'_>, ids: &[u64]) -> Vec<(u64, bool)> {
        let body = EntryBody::new(EntryType::Message, UserId(1));
        let entries = ids.iter().map(|id| Entry::new(EntryId(*id), body.clone(), Date::now()));
        let scanned = entries.map_while(|entry| scan.scanned(entry).unwrap());
        scanned.map(|scanned| (scanned.entry.id.0, scanned.follows_hole)).collect()
    }

    fn confab() -> Confab {
        Confab::new(&Environment::from_iter([("TABLE_NAME", "t")])).unwrap()
    }

    #[test]
    fn a_forward_scan_ends_at_a_hole() {
        let (confab, uri) = (confab(), "0123456789abcde".parse().unwrap());
        let after_4 = |ids: &[u64]| yielded(confab.scan_after(&uri, EntryId(4)), ids);
        assert_eq!(after_4(&[5, 6, 8]), [(5, false), (6, false)]);
        assert_eq!(after_4(&[6, 7]), []);
    }

    #[test]
    fn a_backward_scan_tells_of_a_hole() {
        let (confab, uri) = (confab(), "0123456789abcde".parse().unwrap());
        let before_10 = |ids: &[u64]| yielded(confab.scan_before(&uri, EntryId(10)), ids);
        assert_eq!(before_10(&[9, 8, 6, 5]), [(9, false), (8, false), (6, true), (5, false)]);
    }

    proptest! {
        #[test]
        fn no_entry_is_shown_without_its_predecessor(present in proptest::collection::btree_set(1..20_u64, 0..15), after in 0..20_u64) {
            let (confab, uri) = (confab(), "0123456789abcde".parse().unwrap());
            let behind: Vec<u64> = present.iter().copied().filter(|id| *id > after).collect();
            let forward: Vec<u64> =
                yielded(confab.scan_after(&uri, EntryId(after)), &behind).into_iter().map(|(id, _)| id).collect();
            prop_assert_eq!(&forward, &(after + 1..).zip(&behind).take_while(|(id, present)| id == *present).map(|(id, _)| id).collect::<Vec<_>>());
            let newest_first: Vec<u64> = present.iter().rev().copied().collect();
            let mut shown = Vec::new();
            for (id, follows_hole) in yielded(confab.scan_before(&uri, EntryId(20)), &newest_first) {
                if follows_hole {
                    shown.clear();
                }
                shown.push(id);
            }
            prop_assert!(shown.windows(2).all(|pair| pair[0] == pair[1] + 1));
        }
    }
}
