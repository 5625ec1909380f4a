//! Bounded scans of a log, in either direction.
//!
//! **Invariant.** No reader shows an entry whose predecessor it has not read. A query may see another's transaction half done
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>, "read-committed"), so an entry can be
//! visible before its predecessor is. A forward scan ends at such a hole; in a backward scan, an entry that follows one says so.

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

    /// Whether it stopped at its bound.
    pub(crate) fn is_bounded(&self) -> bool {
        self.scanned >= self.bound
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
