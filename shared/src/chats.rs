//! My chats: every chat session that a user is in, newest activity first, with what they have not read in each.

use std::str::FromStr;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use crate::{
    Confab, Error, Result,
    date::Date,
    error::Invalid,
    history::Said,
    http::Target,
    log::{Entry, EntryId, LAST_ID, entry_key},
    page::{number, parameters},
    session::{Membership, Session, Uri},
    table::{Key, read},
    user::{User, UserId},
    visit::Caller,
};

/// A page has so many chats where no limit is given, and so many at most.
const CHATS: (usize, usize) = (20, 100);
/// Unread messages are counted up to here.
const UNREAD: u64 = 99;
/// So many entries are looked through for unread messages at most; one's own and those that are no messages do not count.
const LOOKED_THROUGH: usize = 1000;

/// A page of a user's chats.
#[derive(Debug, Serialize)]
pub struct Chats {
    chats: Vec<Listed>,
    /// The address of the page after this one, where there is one.
    next: Option<String>,
}

/// A chat in the list.
#[derive(Debug, Serialize)]
struct Listed {
    id: u64,
    uri: Uri,
    owner: User,
    member_count: u64,
    last_id: EntryId,
    last_message: Option<Said>,
    read_id: EntryId,
    /// How many messages of others there are behind `read_id`: 99 at most.
    unread: u64,
    /// Whether there are more than that.
    unread_more: bool,
    create_date: Date,
    update_date: Date,
}

/// A place in the list: behind a chat whose last activity was then.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor(i64, Uri);

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-').and_then(|(date, uri)| Some(Self(date.parse().ok()?, uri.parse().ok()?)));
        parts.ok_or_else(|| Invalid::field("cursor", "Invalid cursor").into())
    }
}

impl Confab {
    /// A page of the chats that the caller is in; `target` is what was asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a `cursor` or `limit` that is none.
    pub async fn my_chats(&self, caller: &Caller, target: &Target) -> Result<Chats> {
        let (mut limit, mut cursor, mut invalid) = (CHATS.0, None, Invalid::default());
        for (name, value) in parameters(target.query())? {
            match name.as_str() {
                "limit" => limit = number("limit", &value, 1..=CHATS.1 as u64, &mut invalid).unwrap_or(0) as usize,
                "cursor" => cursor = Some(value.parse::<Cursor>()?),
                _ => {}
            }
        }
        invalid.unless_empty(())?;
        let mut chats = self.chats_of(caller.user.id).await?;
        chats.sort_by_key(|(session, _)| std::cmp::Reverse(place(session)));
        if let Some(cursor) = cursor {
            chats.retain(|(session, _)| place(session) < cursor);
        }
        let more = chats.len() > limit;
        chats.truncate(limit);
        let next = chats.last().filter(|_| more).map(|(session, _)| {
            let Cursor(date, uri) = place(session);
            let limit = (limit != CHATS.0).then(|| ("limit", limit.to_string()));
            target.with([("cursor", format!("{date}-{uri}"))].into_iter().chain(limit))
        });
        Ok(Chats { chats: self.listed(&caller.user, chats).await?, next })
    }

    async fn chats_of(&self, user_id: UserId) -> Result<Vec<(Session, Membership)>> {
        let memberships: Vec<Membership> = self.table().pages_under(format!("USER#{user_id}"), "CHAT#").all().await?;
        let keys: Vec<Key> = memberships.iter().map(|membership| Session::key(&membership.uri)).collect();
        let found = self.table().get_many(keys).await?;
        let mut chats = Vec::new();
        for membership in memberships {
            if let Some(session) = found.read::<Session>(&Session::key(&membership.uri))? {
                chats.push((session, membership));
            }
        }
        Ok(chats)
    }

    async fn listed(&self, user: &User, chats: Vec<(Session, Membership)>) -> Result<Vec<Listed>> {
        let last_message = |session: &Session| {
            Some(session.last_message_id).filter(|id| *id > 0).map(|id| entry_key(&session.uri, id))
        };
        let keys: Vec<Key> = chats.iter().filter_map(|(session, _)| last_message(session)).collect();
        let found = self.table().get_many(keys).await?;
        let mut messages: Vec<Option<Entry>> = Vec::new();
        for (session, _) in &chats {
            messages.push(last_message(session).map(|key| found.read(&key)).transpose()?.flatten());
        }
        let authors = messages.iter().flatten().map(|message| message.happening.user_id);
        let people: Vec<UserId> = authors.chain(chats.iter().map(|(session, _)| session.owner_id)).collect();
        let users = self.users(people).await?;
        let unread: Vec<_> = chats.iter().map(|(session, own)| self.unread(session, own.read_id, user.id)).collect();
        let unread: Vec<Result<(u64, bool)>> = stream::iter(unread).buffered(8).collect().await;
        let chats = chats.into_iter().zip(messages).zip(unread).map(|(((session, own), message), unread)| {
            let (unread, unread_more) = unread?;
            Ok(Listed {
                id: session.id,
                owner: session.owner(&users)?,
                member_count: session.member_count,
                last_id: session.last_id,
                last_message: message.and_then(|message| Said::new(message, &users, user.id)),
                read_id: own.read_id,
                unread,
                unread_more,
                create_date: session.create_date,
                update_date: session.update_date,
                uri: session.uri,
            })
        });
        chats.collect()
    }

    /// How many messages of others there are behind an entry, and whether there are more than are counted.
    async fn unread(&self, session: &Session, read_id: EntryId, user_id: UserId) -> Result<(u64, bool)> {
        let (mut unread, mut looked_through) = (0, 0);
        if session.last_message_id <= read_id {
            return Ok((0, false));
        }
        let mut pages = self.log_pages(&session.uri, read_id + 1, LAST_ID).limit(UNREAD as usize + 1);
        while let Some(page) = pages.next().await? {
            if looked_through >= LOOKED_THROUGH && !page.is_empty() {
                return Ok((unread, true));
            }
            for item in &page {
                let entry: Entry = read(item)?;
                unread += u64::from(entry.is_message() && entry.happening.user_id != user_id);
                if unread > UNREAD {
                    return Ok((UNREAD, true));
                }
            }
            looked_through += page.len();
        }
        Ok((unread, false))
    }
}

fn place(session: &Session) -> Cursor {
    Cursor(session.update_date.epoch_microseconds(), session.uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cursor_gives_an_answer(text in "[0-9a-f-]{0,40}") {
            if let Ok(Cursor(date, uri)) = text.parse() {
                prop_assert_eq!(format!("{date}-{uri}").parse::<Cursor>().unwrap(), Cursor(date, uri));
            }
        }
    }
}
