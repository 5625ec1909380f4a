//! Searching a chat's messages, from the newest back.
//!
//! There is no index: a bounded part of the log is looked through for each page, and its address leads on from there.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::value::RawValue;
use unicode_normalization::UnicodeNormalization;

use crate::{
    Confab, Result,
    api::http::Target,
    aws::table::read,
    chats::access::ChatAccess,
    chats::history::{MessageView, PAGE_BYTES, bodies, cut, part},
    chats::log::Entry,
    error::Invalid,
    ids::{EntryId, LAST_ID},
    input::query::{number, parameters},
};

/// A page has so many messages where no limit is given, and so many at most.
const MESSAGES: (usize, usize) = (20, 100);
/// So many entries are looked through for a page at most.
const LOOKED_THROUGH: usize = 5000;
/// The most bytes of text that a page compares, in normalised form: one character may become eighteen (U+FDFA).
const COMPARED_BYTES: usize = 8 * 1024 * 1024;
/// The most time that a page takes.
const SEARCHING: Duration = Duration::from_secs(3);
/// What is searched for has so many characters at most.
const CHARACTERS: usize = 200;

/// What is searched for.
#[derive(Debug)]
pub struct Search {
    /// The words, without regard to case.
    words: Vec<String>,
    /// As they were given.
    text: String,
    before: EntryId,
    limit: usize,
}

/// A page of what was found.
#[derive(Debug, Serialize)]
pub struct Matches {
    /// Newest first.
    messages: Vec<Box<RawValue>>,
    /// The address of the page after this one, where not everything has been looked through.
    next: Option<String>,
}

impl Search {
    /// Reads `q`, `before` and `limit` from a query string.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] names what is missing or not in its range.
    pub fn read(query: &str) -> Result<Self> {
        let mut invalid = Invalid::default();
        let (mut text, mut before, mut limit) = (String::new(), LAST_ID, MESSAGES.0);
        for (name, value) in parameters(query)? {
            match name.as_str() {
                "q" => text = value,
                "before" => before = number("before", &value, 0..=LAST_ID, &mut invalid).unwrap_or(0),
                "limit" => limit = number("limit", &value, 1..=MESSAGES.1 as u64, &mut invalid).unwrap_or(0) as usize,
                _ => {}
            }
        }
        let words: Vec<String> = text.split_whitespace().map(fold).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            invalid.add("q", "This field is required.");
        }
        if text.chars().count() > CHARACTERS {
            invalid.add("q", format!("Ensure this field has no more than {CHARACTERS} characters."));
        }
        invalid.unless_empty(Self { words, text, before, limit })
    }

    /// Whether a message has all the words, and how many bytes were compared.
    fn finds(&self, message: &str) -> (bool, usize) {
        let message = fold(message);
        (self.words.iter().all(|word| message.contains(word)), message.len())
    }

    /// The address of what is found before an entry, given the address of another page.
    fn link(&self, before: EntryId, target: &Target) -> String {
        let limit = (self.limit != MESSAGES.0).then(|| ("limit", self.limit.to_string()));
        target.with([("q", self.text.clone()), ("before", before.to_string())].into_iter().chain(limit))
    }
}

/// A text as it is compared: in whichever of Unicode's forms and in whichever case it was written.
fn fold(text: &str) -> String {
    text.nfkc().collect::<String>().to_lowercase()
}

impl Confab {
    /// A page of the messages that have all the words searched for; `target` is what was asked for. It may have
    /// fewer than its limit, even none, and still another page after it.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub async fn search(&self, access: &ChatAccess, search: &Search, target: &Target) -> Result<Matches> {
        let uri = &access.require_member()?.uri;
        let mut pages = self.log_pages(uri, 1, search.before.saturating_sub(1)).backward().limit(1000);
        let (mut found, mut seen): (Vec<Entry>, EntryId) = (Vec::new(), search.before);
        let (mut looked_through, mut compared, started) = (0, 0, Instant::now());
        'pages: while looked_through < LOOKED_THROUGH
            && let Some(items) = pages.next().await?
        {
            for item in &items {
                let entry: Entry = read(item)?;
                // What is newer than a hole is not shown yet: see `log`. So the page is full only once its last entry's predecessor is there.
                if seen != search.before && entry.id + 1 != seen {
                    found.clear();
                }
                if found.len() == search.limit {
                    break 'pages;
                }
                seen = entry.id;
                let (is_match, bytes) = entry.body.message.as_ref().map_or((false, 0), |text| search.finds(text));
                compared += bytes;
                if is_match {
                    found.push(entry);
                }
                if compared >= COMPARED_BYTES || started.elapsed() >= SEARCHING {
                    break 'pages;
                }
            }
            looked_through += items.len();
        }
        let authors = found.iter().map(|entry| (uri.clone(), entry.body.user_id));
        let users = self.people(authors.collect::<Vec<_>>()).await?;
        let reader = access.caller.user.id;
        let said = found.into_iter().filter_map(|entry| MessageView::new(entry, &users, reader));
        let mut messages = said.map(|said| part(said.id, &said)).collect::<Result<Vec<_>>>()?;
        let seen = cut(&mut messages, PAGE_BYTES, false).unwrap_or(seen);
        Ok(Matches {
            messages: bodies(messages),
            // The log's first entry is 1, so before that there is nothing.
            next: (seen > 1 && seen < search.before).then(|| search.link(seen, target)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_words_in_whatever_case_and_form() {
        let search = Search::read("q=caf%C3%A9+STRASSE").unwrap();
        for message in ["Straße? strasse! Café", "the cafe\u{301} in Hauptstrasse", "ＣＡＦÉ strasse"] {
            assert!(search.finds(message).0, "{message}");
        }
        assert!(!search.finds("café").0);
    }

    proptest! {
        #[test]
        fn any_query_gives_an_answer(query in "(q|before|limit|=|&|-|[0-9]|%|x|\\+){0,12}") {
            let _ = Search::read(&query);
        }

        #[test]
        fn a_link_reads_back(text in "[a-zé&=%+# ]{0,20}x", before in 0..=LAST_ID, limit in 1..=MESSAGES.1) {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("q", &text).append_pair("limit", &limit.to_string()).finish();
            let search = Search::read(&query).unwrap();
            let link = search.link(before, &Target::new("/api/chats/x/search/", "q=y"));
            let again = Search::read(link.split_once('?').unwrap().1).unwrap();
            prop_assert_eq!((again.words, again.before, again.limit), (search.words, before, limit));
        }
    }
}
