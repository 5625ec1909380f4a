//! Exporting a chat's log as JSON Lines, a part at a time.
//!
//! A function behind API Gateway's HTTP API answers with at most 6 MB and cannot stream
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>), so each part names the next one, and any
//! line's id is a place to go on from.

use crate::{
    Confab, Result,
    api::http::Target,
    chats::access::ChatAccess,
    chats::history::{PAGE_BYTES, answer_bytes},
    chats::log::Entry,
    error::Invalid,
    ids::{EntryId, LAST_ID},
    input::query::{number, parameters},
};

/// So many entries are in one part at most.
const ENTRIES: usize = 5000;

/// A part of an export.
#[derive(Debug)]
pub struct Export {
    /// The entries as they are told on the sockets, one a line.
    pub lines: String,
    /// The address of the next part, where there is one.
    pub next: Option<String>,
}

/// Reads `after` from a query string: the entry to go on from, 0 for the start.
///
/// # Errors
/// [`crate::Error::Invalid`] where it is no id.
fn after(query: &str) -> Result<EntryId> {
    let mut invalid = Invalid::default();
    let value = parameters(query)?.remove("after");
    let after = value.map_or(Some(0), |value| number("after", &value, 0..=LAST_ID, &mut invalid));
    invalid.unless_empty(after.unwrap_or(0))
}

impl Confab {
    /// The entries of a chat's log from where `target` says.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`crate::Error::Invalid`] for an `after` that is none.
    pub async fn export(&self, access: &ChatAccess, target: &Target) -> Result<Export> {
        let uri = &access.require_member()?.uri;
        let after = after(target.query())?;
        let bytes = |entry: &Entry| entry.body.message.as_ref().map_or(0, String::len);
        let enough =
            |entries: &[Entry]| entries.len() >= ENTRIES || entries.iter().map(bytes).sum::<usize>() > PAGE_BYTES;
        let (entries, context) = self.events_after(uri, after, enough).await?;
        let (mut lines, mut weight, mut last) = (String::new(), 0, after);
        for entry in entries.iter().take(ENTRIES) {
            let line = context.json(uri, entry)?;
            weight += answer_bytes(&line) + 2;
            if weight > PAGE_BYTES {
                break;
            }
            lines.push_str(&line);
            lines.push('\n');
            last = entry.id;
        }
        let more = last > after && last < self.last_id(uri).await?;
        Ok(Export { lines, next: more.then(|| target.with([("after", last.to_string())])) })
    }
}
