//! The history of a chat: its messages, oldest first, a page at a time.

use futures_util::future;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    access::ChatAccess,
    entry::{Entry, EntryType},
    log_scan::Scanned,
    message_view::MessageView,
    page::{PAGE_BYTES, Page},
};
use crate::{
    Confab, Result,
    error::Invalid,
    ids::{ChatUri, EntryId},
    input::{query::Query, target::Target},
};

/// The most messages of a page, and the default.
const MESSAGES: usize = 1000;
/// Entries that are scanned for a page, roughly: a log may have any number of them between two messages.
const SCANNED: usize = 5000;

/// A range of a history: the last `limit` messages before `before`, or with `after` the first ones after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRange {
    before: Option<EntryId>,
    after: Option<EntryId>,
    limit: usize,
}

/// A page of a chat's history.
#[derive(Debug, Serialize)]
pub struct History {
    id: u64,
    uri: ChatUri,
    last_id: EntryId,
    messages: Vec<Box<RawValue>>,
    /// The address of the next page, where there is one.
    next: Option<String>,
    /// The address of the previous page, where there is one.
    previous: Option<String>,
}

impl HistoryRange {
    /// Reads `before`, `after` and `limit` from a query string.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`].
    pub fn read(query: &str) -> Result<Self> {
        let query = Query::read(query)?;
        let mut invalid = Invalid::default();
        let before = query.entry_id("before", &mut invalid);
        let after = query.entry_id("after", &mut invalid);
        let limit = query.limit(MESSAGES, MESSAGES, &mut invalid);
        invalid.unless_empty(Self { before, after, limit })
    }

    /// The address of this range, relative to `target`.
    fn link(&self, target: &Target) -> String {
        let limit = Some(self.limit as u64).filter(|limit| *limit != MESSAGES as u64);
        let [before, after] = [self.before, self.after].map(|id| id.map(|id| id.0));
        let parameters = [("before", before), ("after", after), ("limit", limit)];
        target.with(parameters.into_iter().filter_map(|(name, number)| Some((name, number?.to_string()))))
    }
}

impl Confab {
    /// Reads a page of a chat's history; `target` is the request's.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub async fn history(&self, access: &ChatAccess, range: &HistoryRange, target: &Target) -> Result<History> {
        let chat = access.require_member()?;
        let uri = &chat.uri;
        let last_id = self.visible_id(chat).await?;
        let (entries, mut edge) = self.messages(uri, last_id, range).await?;
        let caller = &access.caller.user;
        let authors = entries.iter().map(|entry| entry.body.user_id).filter(|id| *id != caller.id);
        let authors: Vec<_> = authors.map(|id| (uri.clone(), id)).collect();
        let messages = entries.iter().map(|entry| (uri, entry));
        let (mut users, own) =
            future::try_join(self.visible_users(authors), self.own_reactions(caller.id, messages)).await?;
        users.insert(caller.id, caller.clone());
        let views = entries.into_iter().filter_map(|entry| MessageView::new(uri, entry, &users, &own));
        let mut page = Page::new(views.map(|view| (view.id, view)))?;
        if let Some(end) = page.cut(PAGE_BYTES, range.after.is_none()) {
            edge = Some(end);
        }
        let (next, previous) = links(last_id, range, page.ends(), edge, target);
        Ok(History { id: chat.id, uri: uri.clone(), last_id, messages: page.into_items(), next, previous })
    }

    /// The messages of a range, oldest first, and the last entry that was scanned, if there may be more behind it.
    async fn messages(
        &self,
        uri: &ChatUri,
        last_id: EntryId,
        range: &HistoryRange,
    ) -> Result<(Vec<Entry>, Option<EntryId>)> {
        let is_backward = range.after.is_none();
        let before = range.before.unwrap_or(EntryId::LAST.next());
        let scan = match range.after {
            Some(after) => self.scan_range(uri, after, before),
            None => self.scan_before(uri, before.min(last_id.next())),
        };
        // One more than the limit tells whether there are more.
        let mut scan = scan.page_size((range.limit + 1).max(100)).bound(SCANNED);
        let mut messages: Vec<Entry> = Vec::new();
        let (mut edge, mut size) = (None, 0);
        while let Some(Scanned { entry, follows_hole }) = scan.next().await? {
            if follows_hole {
                messages.clear();
                size = 0;
            }
            if entry.body.kind == EntryType::Message {
                size += bytes(&entry);
                if messages.len() == range.limit || size > PAGE_BYTES {
                    edge = messages.last().map(|message| message.id);
                    break;
                }
                messages.push(entry);
            }
        }
        if edge.is_none() && scan.is_bounded() {
            // Entries that were appended since the chat was read are left to a later request.
            let has_more = |seen: &EntryId| {
                if is_backward { *seen > EntryId(1) } else { *seen < last_id.min(before.previous()) }
            };
            edge = scan.seen().filter(has_more);
        }
        if is_backward {
            messages.reverse();
        }
        Ok((messages, edge))
    }
}

/// The addresses of the next and the previous page of a page that has messages between `ends` and may go on behind
/// `edge`.
fn links(
    last_id: EntryId,
    range: &HistoryRange,
    ends: Option<(EntryId, EntryId)>,
    edge: Option<EntryId>,
    target: &Target,
) -> (Option<String>, Option<String>) {
    let newer = |id| HistoryRange { after: Some(id), before: None, limit: range.limit }.link(target);
    // A link must be valid when it comes back.
    let older = |id: EntryId| {
        HistoryRange { after: None, before: Some(id.min(EntryId::LAST)), limit: range.limit }.link(target)
    };
    let (first, last) = (ends.map(|(first, _)| first), ends.map(|(_, last)| last));
    match (range.after, range.before) {
        (Some(after), _) => (edge.map(newer), (after > EntryId::NONE).then(|| older(first.unwrap_or(after.next())))),
        (None, before) => {
            let before = before.filter(|before| *before <= last_id);
            let next = before.map(|before| newer(last.unwrap_or(before.previous())));
            (next, edge.map(older))
        }
    }
}

/// The size of an entry in memory, roughly. In a response it is larger.
fn bytes(entry: &Entry) -> usize {
    64 * entry.reactions().len() + entry.body.message.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LAST_ID;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_link_reads_back(before in proptest::option::of(0..=LAST_ID), after in proptest::option::of(0..=LAST_ID), limit in 1..=MESSAGES) {
            let [before, after] = [before, after].map(|id| id.map(EntryId));
            let range = HistoryRange { before, after, limit };
            let link = range.link(&Target::new("/api/chats/x/messages/", "limit=7"));
            let query = link.strip_prefix("/api/chats/x/messages/?").unwrap();
            prop_assert_eq!(HistoryRange::read(query).unwrap(), range);
        }

        #[test]
        fn any_query_is_read_or_rejected(query in "(before|after|limit|=|&|-|[0-9]|%|x){0,12}") {
            let _ = HistoryRange::read(&query);
        }
    }

    #[test]
    fn out_of_range() {
        for query in ["limit=0", "limit=1001", "before=-1", "after=1e3", "after=9007199254740992", "limit="] {
            assert!(HistoryRange::read(query).is_err(), "{query}");
        }
    }
}
