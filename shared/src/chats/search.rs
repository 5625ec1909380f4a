//! Searching a chat's messages, newest first.
//!
//! There is no index: each page scans a bounded part of the log, and its address continues from there.

use std::time::{Duration, Instant};

use futures_util::future;
use serde::Serialize;
use serde_json::value::RawValue;
use unicode_normalization::UnicodeNormalization;

use super::{
    access::ChatAccess,
    entry::Entry,
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

/// The default of messages in a page, and the most.
const MESSAGES: (usize, usize) = (20, 100);
/// Entries that are scanned for a page.
const SCANNED: usize = 5000;
/// Entries per read.
const ENTRIES_PER_READ: usize = 1000;
/// The most bytes of text that a page compares, in normalised form: one character may become eighteen (U+FDFA).
const COMPARED_BYTES: usize = 8 * 1024 * 1024;
/// The most time that a page takes.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest query, in characters.
const QUERY_CHARACTERS: usize = 200;

/// A search.
#[derive(Debug)]
pub struct Search {
    /// The words, case-folded.
    words: Vec<String>,
    /// The query as it was sent.
    text: String,
    before: EntryId,
    limit: usize,
}

/// A page of matches.
#[derive(Debug, Serialize)]
pub struct Matches {
    /// Newest first.
    messages: Vec<Box<RawValue>>,
    /// The address of the next page, where the log has not been scanned to its start.
    next: Option<String>,
}

impl Search {
    /// Reads `q`, `before` and `limit` from a query string.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`].
    pub fn read(query: &str) -> Result<Self> {
        let query = Query::read(query)?;
        let mut invalid = Invalid::default();
        let text = query.text("q").unwrap_or_default().to_owned();
        let before = query.entry_id("before", &mut invalid).unwrap_or(EntryId::LAST);
        let limit = query.limit(MESSAGES.0, MESSAGES.1, &mut invalid);
        let words: Vec<String> = text.split_whitespace().map(fold).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            invalid.add("q", "This field is required.");
        }
        if text.chars().count() > QUERY_CHARACTERS {
            invalid.add("q", format!("Ensure this field has no more than {QUERY_CHARACTERS} characters."));
        }
        invalid.unless_empty(Self { words, text, before, limit })
    }

    /// Whether a message has all the words, and how many bytes were compared.
    fn matches(&self, message: &str) -> (bool, usize) {
        let message = fold(message);
        (self.words.iter().all(|word| message.contains(word)), message.len())
    }

    /// The address of the matches before an entry, relative to `target`.
    fn link(&self, before: EntryId, target: &Target) -> String {
        let limit = (self.limit != MESSAGES.0).then(|| ("limit", self.limit.to_string()));
        target.with([("q", self.text.clone()), ("before", before.to_string())].into_iter().chain(limit))
    }
}

/// A text in the form that is compared: regardless of case and of Unicode's normalisation forms.
fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

impl Confab {
    /// A page of the messages that have all the words of a search; `target` is the request's. It may have fewer than
    /// its limit, even none, and still a next page.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub async fn search(&self, access: &ChatAccess, search: &Search, target: &Target) -> Result<Matches> {
        let chat = access.require_member()?;
        let uri = &chat.uri;
        let last_id = self.visible_id(chat).await?;
        let (found, seen) = self.matches(uri, last_id, search).await?;
        let authors = found.iter().map(|entry| (uri.clone(), entry.body.user_id));
        let users = self.visible_users(authors.collect::<Vec<_>>());
        let own = self.own_reactions(access.caller.user.id, found.iter().map(|entry| (uri, entry)));
        let (users, own) = future::try_join(users, own).await?;
        let views = found.into_iter().filter_map(|entry| MessageView::new(uri, entry, &users, &own));
        let mut page = Page::new(views.map(|view| (view.id, view)))?;
        let seen = page.cut(PAGE_BYTES, false).unwrap_or(seen);
        Ok(Matches {
            messages: page.into_items(),
            // The log's first entry is 1, so before that there is nothing.
            next: (seen > EntryId(1) && seen < search.before).then(|| search.link(seen, target)),
        })
    }

    /// The matches of a page, and the last entry that was scanned.
    async fn matches(&self, uri: &ChatUri, last_id: EntryId, search: &Search) -> Result<(Vec<Entry>, EntryId)> {
        let before = search.before.min(last_id.next());
        let mut scan = self.scan_before(uri, before).page_size(ENTRIES_PER_READ).bound(SCANNED);
        let (mut found, mut seen): (Vec<Entry>, EntryId) = (Vec::new(), search.before);
        let (mut compared, started) = (0, Instant::now());
        while let Some(Scanned { entry, follows_hole }) = scan.next().await? {
            if follows_hole {
                found.clear();
            }
            // The page is full only now, when its last entry's predecessor has been read.
            if found.len() == search.limit {
                break;
            }
            seen = entry.id;
            let (is_match, bytes) = entry.body.message.as_ref().map_or((false, 0), |text| search.matches(text));
            compared += bytes;
            if is_match {
                found.push(entry);
            }
            if compared >= COMPARED_BYTES || started.elapsed() >= SEARCH_TIMEOUT {
                break;
            }
        }
        Ok((found, seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LAST_ID;
    use proptest::prelude::*;

    #[test]
    fn all_words_in_whatever_case_and_form() {
        let search = Search::read("q=caf%C3%A9+STRASSE").unwrap();
        for message in ["Straße? strasse! Café", "the cafe\u{301} in Hauptstrasse", "ＣＡＦÉ strasse"] {
            assert!(search.matches(message).0, "{message}");
        }
        assert!(!search.matches("café").0);
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_rejected(query in "(q|before|limit|=|&|-|[0-9]|%|x|\\+){0,12}") {
            let _ = Search::read(&query);
        }

        #[test]
        fn a_link_reads_back(text in "[a-zé&=%+# ]{0,20}x", before in 0..=LAST_ID, limit in 1..=MESSAGES.1) {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &text).append_pair("limit", &limit.to_string()).finish();
            let search = Search::read(&query).unwrap();
            let link = search.link(EntryId(before), &Target::new("/api/chats/x/search/", "q=y"));
            let again = Search::read(link.split_once('?').unwrap().1).unwrap();
            prop_assert_eq!((again.words, again.before, again.limit), (search.words, EntryId(before), limit));
        }
    }
}
