//! The history of a chat: its messages, oldest first, a page at a time.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    Confab, Error, Result,
    api::http::Target,
    auth::user::User,
    aws::table::read,
    chats::access::ChatAccess,
    chats::log::{Entry, EntryType, entry_key},
    date::Date,
    ids::{ChatUri, EntryId, LAST_ID, UserId},
    input::query::Page,
};

/// A page stops short of its limit rather than weigh more than this: Lambda's answers have at most 6 MB
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(crate) const PAGE_BYTES: usize = 4_500_000;

/// So many entries are looked through for a page, roughly: a log may have any number of them between two messages.
const LOOKED_THROUGH: usize = 5000;

/// What an entry takes in memory, roughly. On the wire it takes more than its text.
fn weight(entry: &Entry) -> usize {
    let reactions: usize = entry.reactions.iter().flat_map(|reactions| reactions.values()).map(BTreeSet::len).sum();
    16 * reactions + entry.body.message.as_ref().map_or(0, String::len)
}

/// What a line of JSON takes in a function's answer, which is JSON within JSON
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
pub(crate) fn answer_bytes(json: &str) -> usize {
    json.len() + json.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// A page of a chat's history.
#[derive(Debug, Serialize)]
pub struct History {
    id: u64,
    uri: ChatUri,
    last_id: EntryId,
    messages: Vec<Box<RawValue>>,
    /// The address of the page after this one, where there is one.
    next: Option<String>,
    /// The address of the page before this one, where there is one.
    previous: Option<String>,
}

/// A message as it is now, shown to one user.
#[derive(Debug, Serialize)]
pub struct MessageView {
    pub(crate) id: EntryId,
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

impl MessageView {
    /// What an entry says to `reader`, if it is a message and its author is among `users`.
    pub(crate) fn new(entry: Entry, users: &HashMap<UserId, User>, reader: UserId) -> Option<Self> {
        if entry.body.kind != EntryType::Message {
            return None;
        }
        let user = users.get(&entry.body.user_id)?.clone();
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
            message: entry.body.message.unwrap_or_default(),
            create_date: entry.create_date,
            edit_date: entry.edit_date,
            delete_date: entry.delete_date,
            reply_to: entry.body.reply_to,
            reactions,
        })
    }
}

impl Confab {
    /// Reads a page of a chat's history; `target` is what was asked for.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`].
    pub async fn history(&self, access: &ChatAccess, page: &Page, target: &Target) -> Result<History> {
        let chat = access.require_member()?;
        let uri = &chat.uri;
        let (entries, mut edge) = self.messages(uri, page).await?;
        let caller = &access.caller.user;
        let authors = entries.iter().map(|entry| entry.body.user_id).filter(|id| *id != caller.id);
        let mut users = self.people(authors.map(|id| (uri.clone(), id)).collect::<Vec<_>>()).await?;
        users.insert(caller.id, caller.clone());
        let said = entries.into_iter().filter_map(|entry| MessageView::new(entry, &users, caller.id));
        let mut messages = said.map(|said| part(said.id, &said)).collect::<Result<Vec<_>>>()?;
        if let Some(end) = cut(&mut messages, PAGE_BYTES, page.after.is_none()) {
            edge = Some(end);
        }
        let (first, last) = (messages.first().map(|(id, _)| *id), messages.last().map(|(id, _)| *id));
        let newer = |id| Page { after: Some(id), before: None, limit: page.limit }.link(target);
        // A link must be one that is taken when it comes back.
        let older = |id: EntryId| Page { after: None, before: Some(id.min(LAST_ID)), limit: page.limit }.link(target);
        let (next, previous) = match (page.after, page.before) {
            (Some(after), _) => (edge.map(newer), (after > 0).then(|| older(first.unwrap_or(after + 1)))),
            (None, before) => {
                let next = before
                    .filter(|before| *before <= chat.last_id)
                    .map(|before| newer(last.unwrap_or_else(|| before.saturating_sub(1))));
                (next, edge.map(older))
            }
        };
        Ok(History { id: chat.id, uri: uri.clone(), last_id: chat.last_id, messages: bodies(messages), next, previous })
    }

    /// A message as it is now, shown to the caller.
    ///
    /// # Errors
    /// As [`ChatAccess::require_member`]; [`Error::NotFound`] where there is none.
    pub async fn show_message(&self, access: &ChatAccess, id: EntryId) -> Result<MessageView> {
        let key = entry_key(&access.require_member()?.uri, id);
        let entry: Entry = self.table().get(&key).await?.ok_or(Error::NotFound)?;
        let author = (access.require_member()?.uri.clone(), entry.body.user_id);
        let users = self.people([author]).await?;
        MessageView::new(entry, &users, access.caller.user.id).ok_or(Error::NotFound)
    }

    /// The messages of a page, oldest first, and the last entry that was looked at in its direction, if there may be more behind it.
    async fn messages(&self, uri: &ChatUri, page: &Page) -> Result<(Vec<Entry>, Option<EntryId>)> {
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
                if entry.body.kind == EntryType::Message {
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

/// A part of an answer, with what it is to go on from behind it.
pub(crate) type Part<T> = (T, Box<RawValue>);

/// Writes a part of an answer.
pub(crate) fn part<T>(place: T, value: &impl Serialize) -> Result<Part<T>> {
    Ok((place, to_raw_value(value).map_err(Error::internal)?))
}

/// Cuts parts to what has `most` bytes in an answer, from their end or, `backward`, from their start. Gives the place of the part at
/// the cut.
pub(crate) fn cut<T: Clone>(parts: &mut Vec<Part<T>>, most: usize, backward: bool) -> Option<T> {
    let mut bytes = 0;
    let mut fits = |part: &RawValue| {
        bytes += answer_bytes(part.get()) + 1;
        bytes <= most
    };
    let count = parts.len();
    let kept = match backward {
        true => parts.iter().rev().take_while(|(_, part)| fits(part)).count(),
        false => parts.iter().take_while(|(_, part)| fits(part)).count(),
    };
    if kept == count {
        return None;
    }
    // One alone always fits an answer: an item of the table has 400 KB.
    let kept = kept.max(1);
    if backward {
        parts.drain(..count - kept);
        parts.first().map(|(place, _)| place.clone())
    } else {
        parts.truncate(kept);
        parts.last().map(|(place, _)| place.clone())
    }
}

/// The parts without their places.
pub(crate) fn bodies<T>(parts: Vec<Part<T>>) -> Vec<Box<RawValue>> {
    parts.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_page_is_cut_to_what_an_answer_holds(sizes in proptest::collection::vec(0..40_usize, 1..12), backward: bool) {
            let most = 300;
            let message = |(id, size): (u64, &usize)| (id, to_raw_value(&"\u{1}".repeat(*size)).unwrap());
            let all: Vec<_> = (1..).zip(&sizes).map(message).collect();
            let mut kept = all.clone();
            let edge = cut(&mut kept, most, backward);
            let bytes = |messages: &[(u64, Box<RawValue>)]| messages.iter().map(|(_, one)| answer_bytes(one.get()) + 1).sum::<usize>();
            let ids = |messages: &[(u64, Box<RawValue>)]| messages.iter().map(|(id, _)| *id).collect::<Vec<_>>();
            prop_assert!(bytes(&kept) <= most && !kept.is_empty());
            let expected = if backward { &all[all.len() - kept.len()..] } else { &all[..kept.len()] };
            prop_assert_eq!(ids(&kept), ids(expected));
            let at_cut = if backward { kept.first() } else { kept.last() };
            prop_assert_eq!(edge, at_cut.map(|(id, _)| *id).filter(|_| kept.len() < all.len()));
        }

        #[test]
        fn an_answer_weighs_what_is_written(text in "\\PC{0,40}|[\u{0}-\u{1f}\"\\\\]{0,20}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(answer_bytes(&json) + 2, serde_json::to_string(&json).unwrap().len());
        }
    }
}
