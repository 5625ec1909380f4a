//! My chats: every chat that a user is in, newest activity first, with what they have not read in each.

use std::str::FromStr;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    Confab, Error, Result,
    api::http::Target,
    auth::user::User,
    aws::table::{BatchItems, Key},
    chats::access::Caller,
    chats::chat::Chat,
    chats::history::{MessageView, PAGE_BYTES, Part, bodies, cut, part},
    chats::log::{Entry, entry_key},
    chats::members::{Member, Membership},
    chats::unread::{ReadBudget, Unread},
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::query::{number, parameters},
};

/// A page has so many chats where no limit is given, and so many at most.
const CHATS: (usize, usize) = (20, 100);
/// Reads of logs per request, for unread messages that the counts do not tell.
const UNREAD_READS: usize = 20;

/// A page of a user's chats.
#[derive(Debug, Serialize)]
pub struct Chats {
    chats: Vec<Box<RawValue>>,
    /// The address of the page after this one, where there is one.
    next: Option<String>,
}

/// A chat in the list.
#[derive(Debug, Serialize)]
struct ChatSummary {
    id: u64,
    uri: ChatUri,
    owner: User,
    member_count: u64,
    last_id: EntryId,
    last_message: Option<MessageView>,
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
struct PageCursor(i64, ChatUri);

impl FromStr for PageCursor {
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
    pub async fn list_chats(&self, caller: &Caller, target: &Target) -> Result<Chats> {
        let (mut limit, mut cursor, mut invalid) = (CHATS.0, None, Invalid::default());
        for (name, value) in parameters(target.query())? {
            match name.as_str() {
                "limit" => limit = number("limit", &value, 1..=CHATS.1 as u64, &mut invalid).unwrap_or(0) as usize,
                "cursor" => cursor = Some(value.parse::<PageCursor>()?),
                _ => {}
            }
        }
        invalid.unless_empty(())?;
        let mut chats = self.chats_of(caller.user.id).await?;
        chats.sort_by_key(|chat| std::cmp::Reverse(place(chat)));
        if let Some(cursor) = cursor {
            chats.retain(|chat| place(chat) < cursor);
        }
        let more = chats.len() > limit;
        chats.truncate(limit);
        let last = chats.last().filter(|_| more).map(place);
        let mut chats = self.summaries(&caller.user, chats).await?;
        let next = cut(&mut chats, PAGE_BYTES, false).or(last).map(|PageCursor(date, uri)| {
            let limit = (limit != CHATS.0).then(|| ("limit", limit.to_string()));
            target.with([("cursor", format!("{date}-{uri}"))].into_iter().chain(limit))
        });
        Ok(Chats { chats: bodies(chats), next })
    }

    async fn chats_of(&self, user_id: UserId) -> Result<Vec<Chat>> {
        let memberships: Vec<Membership> = self.table().pages_under(format!("USER#{user_id}"), "CHAT#").all().await?;
        let keys: Vec<Key> = memberships.iter().map(|membership| Chat::key(&membership.uri)).collect();
        let found = self.table().get_many(keys.clone()).await?;
        keys.iter().filter_map(|key| found.read(key).transpose()).collect()
    }

    async fn summaries(&self, user: &User, chats: Vec<Chat>) -> Result<Vec<Part<PageCursor>>> {
        let keys = chats.iter().flat_map(|chat| {
            let last = [chat.last_message_id, chat.last_message_id.saturating_sub(1)];
            let entries = last.into_iter().filter(|id| *id > 0).map(|id| entry_key(&chat.uri, id));
            entries.chain([Member::key(&chat.uri, user.id)]).collect::<Vec<_>>()
        });
        let found = self.table().get_many(keys).await?;
        let mut messages: Vec<Option<Entry>> = Vec::new();
        let mut seen: Vec<(ChatUri, UserId)> = Vec::new();
        for chat in &chats {
            let message = last_message(chat, &found)?;
            let author = message.iter().map(|message| message.body.user_id);
            seen.extend(author.chain([chat.owner_id]).map(|id| (chat.uri.clone(), id)));
            messages.push(message);
        }
        let users = self.people(seen).await?;
        let budget = ReadBudget::new(UNREAD_READS);
        let summaries = chats.into_iter().zip(messages).map(async |(chat, message)| {
            // Who has left between the two reads has nothing unread.
            let Some(member) = found.read::<Member>(&Member::key(&chat.uri, user.id))? else { return Ok(None) };
            let Unread { count, more } = self.unread(&chat, &member, &budget).await?;
            let summaries = ChatSummary {
                id: chat.id,
                owner: chat.owner(&users)?,
                member_count: chat.member_count,
                last_id: chat.last_id,
                last_message: message.and_then(|message| MessageView::new(message, &users, user.id)),
                read_id: member.read_id,
                unread: count,
                unread_more: more,
                create_date: chat.create_date,
                update_date: chat.update_date,
                uri: chat.uri.clone(),
            };
            part(place(&chat), &summaries).map(Some)
        });
        let summaries: Vec<Result<Option<Part<PageCursor>>>> = stream::iter(summaries).buffered(8).collect().await;
        summaries.into_iter().filter_map(Result::transpose).collect()
    }
}

/// The last message of a chat, unless the entry before it does not show yet: see `log`.
fn last_message(chat: &Chat, found: &BatchItems) -> Result<Option<Entry>> {
    let id = chat.last_message_id;
    let is_behind_a_hole = id > 1 && !found.has(&entry_key(&chat.uri, id - 1));
    if id == 0 || is_behind_a_hole { Ok(None) } else { found.read(&entry_key(&chat.uri, id)) }
}

fn place(chat: &Chat) -> PageCursor {
    PageCursor(chat.update_date.epoch_microseconds(), chat.uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cursor_gives_an_answer(text in "[0-9a-f-]{0,40}") {
            if let Ok(PageCursor(date, uri)) = text.parse() {
                prop_assert_eq!(format!("{date}-{uri}").parse::<PageCursor>().unwrap(), PageCursor(date, uri));
            }
        }
    }
}
