//! Exporting a chat's log as JSON Lines, a part at a time.
//!
//! A function behind API Gateway's HTTP API responds with at most 6 MB and cannot stream
//! (<https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>), so each part names the next
//! one, and the id of any line is a place to continue from.

use super::{
    access::ChatAccess,
    entry::Entry,
    page::{PAGE_BYTES, response_bytes},
};
use crate::{
    Confab, Result,
    error::Invalid,
    ids::EntryId,
    input::{query::Query, target::Target},
};

/// The most entries of a part.
const ENTRIES: usize = 5000;

/// A part of an export.
#[derive(Debug)]
pub struct Export {
    /// The events of the entries, as on the sockets, one a line.
    pub lines: String,
    /// The address of the next part, where there is one.
    pub next: Option<String>,
}

/// Reads `after` from a query string: the entry to continue behind, 0 for the start.
fn after(query: &str) -> Result<EntryId> {
    let mut invalid = Invalid::default();
    let after = Query::read(query)?.entry_id("after", &mut invalid);
    invalid.unless_empty(after.unwrap_or_default())
}

impl Confab {
    /// Exports a part of a chat's log, from where `target` says.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`crate::Error::Invalid`] for `after`.
    pub async fn export(&self, access: &ChatAccess, target: &Target) -> Result<Export> {
        let uri = &access.require_member()?.uri;
        let after = after(target.query())?;
        let bytes = |entry: &Entry| entry.body.message.as_ref().map_or(0, String::len);
        let enough =
            |entries: &[Entry]| entries.len() >= ENTRIES || entries.iter().map(bytes).sum::<usize>() > PAGE_BYTES;
        let (entries, context) = self.events_after(uri, after, enough).await?;
        let (mut lines, mut size, mut last) = (String::new(), 0, after);
        for entry in entries.iter().take(ENTRIES) {
            let line = context.event(uri, entry)?;
            size += response_bytes(&line) + 2;
            if size > PAGE_BYTES {
                break;
            }
            lines.push_str(&line);
            lines.push('\n');
            last = entry.id;
        }
        let more = last > after && last < self.chat(uri).await?.last_id;
        Ok(Export { lines, next: more.then(|| target.with([("after", last.to_string())])) })
    }
}
