//! The history of a chat session: its messages, oldest first, a page at a time.

use std::{cmp::Reverse, collections::HashMap};

use serde::Serialize;

use crate::{
    Confab, Error, Result,
    date::Date,
    http::Target,
    log::{Entry, EntryId, EntryType, LAST_ID, entry_key},
    page::Page,
    session::Uri,
    table::read,
    user::{User, UserId},
    visit::Visit,
};

/// A page stops short of its limit rather than weigh more than this: Lambda's answers have at most 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(crate) const PAGE_BYTES: usize = 4_500_000;

/// So many entries are looked through for a page, roughly: a log may have any number of them between two messages.
const LOOKED_THROUGH: usize = 5000;

/// What a message may take in a function's answer, which is JSON within JSON, its author included.
fn weight(entry: &Entry) -> usize {
    let escaped = |c: char| match c {
        '"' | '\\' => 4,
        c if c.is_control() => 7,
        c => c.len_utf8(),
    };
    let reactions = entry.reactions.iter().map(|reactions| 100 * reactions.len()).sum::<usize>();
    1600 + reactions + entry.happening.message.iter().flat_map(|message| message.chars()).map(escaped).sum::<usize>()
}

/// A page of a chat's history.
#[derive(Debug, Serialize)]
pub struct History {
    id: u64,
    uri: Uri,
    last_id: EntryId,
    messages: Vec<Said>,
    /// The address of the page after this one, where there is one.
    next: Option<String>,
    /// The address of the page before this one, where there is one.
    previous: Option<String>,
}

/// A message as it is now, shown to one user.
#[derive(Debug, Serialize)]
pub struct Said {
    id: EntryId,
    user: User,
    /// Empty once it has been deleted.
    message: String,
    create_date: Date,
    edit_date: Option<Date>,
    delete_date: Option<Date>,
    reply_to: Option<EntryId>,
    /// Most used first.
    reactions: Vec<Reacted>,
}

/// An emoji that some have put to a message.
#[derive(Debug, Serialize)]
struct Reacted {
    emoji: String,
    count: usize,
    /// Whether whom it is shown to is among them.
    mine: bool,
}

impl Said {
    /// What an entry says to `reader`, if it is a message and its author is among `users`.
    pub(crate) fn new(entry: Entry, users: &HashMap<UserId, User>, reader: UserId) -> Option<Self> {
        if entry.happening.kind != EntryType::Message {
            return None;
        }
        let user = users.get(&entry.happening.user_id)?.clone();
        let mut reactions: Vec<Reacted> = entry
            .reactions
            .into_iter()
            .flatten()
            .map(|(emoji, users)| Reacted { emoji, count: users.len(), mine: users.contains(&reader) })
            .collect();
        reactions.sort_by_key(|reaction| Reverse(reaction.count));
        Some(Self {
            id: entry.id,
            user,
            message: entry.happening.message.unwrap_or_default(),
            create_date: entry.create_date,
            edit_date: entry.edit_date,
            delete_date: entry.delete_date,
            reply_to: entry.happening.reply_to,
            reactions,
        })
    }
}

impl Confab {
    /// Reads a page of a chat's history; `target` is what was asked for.
    ///
    /// # Errors
    /// As [`Visit::as_member`].
    pub async fn history(&self, visit: &Visit, page: &Page, target: &Target) -> Result<History> {
        let session = visit.as_member()?;
        let uri = &session.uri;
        let (entries, edge) = self.messages(uri, page).await?;
        let mut users: HashMap<UserId, User> = [(visit.caller.user.id, visit.caller.user.clone())].into();
        let strangers: Vec<UserId> =
            entries.iter().map(|entry| entry.happening.user_id).filter(|id| !users.contains_key(id)).collect();
        users.extend(self.users(strangers).await?);
        let (first, last) = (entries.first().map(|entry| entry.id), entries.last().map(|entry| entry.id));
        let newer = |id| Page { after: Some(id), before: None, limit: page.limit }.link(target);
        // A link must be one that is taken when it comes back.
        let older = |id: EntryId| Page { after: None, before: Some(id.min(LAST_ID)), limit: page.limit }.link(target);
        let (next, previous) = match (page.after, page.before) {
            (Some(after), _) => (edge.map(newer), (after > 0).then(|| older(first.unwrap_or(after + 1)))),
            (None, before) => {
                let next = before
                    .filter(|before| *before <= session.last_id)
                    .map(|before| newer(last.unwrap_or_else(|| before.saturating_sub(1))));
                (next, edge.map(older))
            }
        };
        let messages = entries.into_iter().filter_map(|entry| Said::new(entry, &users, visit.caller.user.id)).collect();
        Ok(History { id: session.id, uri: uri.clone(), last_id: session.last_id, messages, next, previous })
    }

    /// A message as it is now, shown to the caller.
    ///
    /// # Errors
    /// As [`Visit::as_member`]; [`Error::NotFound`] where there is none.
    pub async fn show_message(&self, visit: &Visit, id: EntryId) -> Result<Said> {
        let key = entry_key(&visit.as_member()?.uri, id);
        let entry: Entry = self.table().get(&key).await?.ok_or(Error::NotFound)?;
        let users = self.users([entry.happening.user_id]).await?;
        Said::new(entry, &users, visit.caller.user.id).ok_or(Error::NotFound)
    }

    /// The messages of a page, oldest first, and the last entry that was looked at in its direction, if there may be more behind it.
    async fn messages(&self, uri: &Uri, page: &Page) -> Result<(Vec<Entry>, Option<EntryId>)> {
        let first = page.after.unwrap_or(0) + 1;
        let last = page.before.map_or(LAST_ID, |before| before.saturating_sub(1));
        // One more than asked for tells whether there are more.
        let mut pages = self.log_pages(uri, first, last).limit((page.limit + 1).max(100));
        let backward = page.after.is_none();
        if backward {
            pages = pages.backward();
        }
        let mut messages: Vec<Entry> = Vec::new();
        let (mut seen, mut edge) = (page.after, None);
        let (mut bytes, mut looked_through) = (0, 0);
        'pages: while let Some(items) = pages.next().await? {
            if looked_through >= LOOKED_THROUGH && !items.is_empty() {
                edge = seen;
                break;
            }
            looked_through += items.len();
            for item in &items {
                let entry: Entry = read(item)?;
                // What is newer than a hole is not told yet: see `log::without_holes`.
                if seen.is_some_and(|seen| entry.id.abs_diff(seen) != 1) {
                    if !backward {
                        break 'pages;
                    }
                    messages.clear();
                    bytes = 0;
                }
                seen = Some(entry.id);
                if entry.happening.kind == EntryType::Message {
                    bytes += weight(&entry);
                    if messages.len() == page.limit || bytes > PAGE_BYTES {
                        edge = messages.last().map(|message| message.id);
                        break 'pages;
                    }
                    messages.push(entry);
                }
            }
        }
        if backward {
            messages.reverse();
        }
        Ok((messages, edge))
    }
}
