//! Listing a user's chats, by latest activity, with the unread messages of each.

use std::{cmp::Reverse, str::FromStr};

use futures_util::{StreamExt, TryStreamExt, future, stream};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    chat::Chat,
    entry::{Entry, EntryType},
    log_scan::Scanned,
    member::{Member, Membership},
    message_view::MessageView,
    page::{PAGE_BYTES, Page},
    unread::{ReadBudget, Unread},
};
use crate::{
    Confab, Error, Result,
    accounts::membership_count::MEMBERSHIP,
    auth::{authentication::Caller, user::User},
    aws::table::BatchItems,
    date::Date,
    error::Invalid,
    ids::{ChatUri, EntryId, UserId},
    input::{query::Query, target::Target},
    key::Partition,
};

/// The default of chats in a page, and the most.
const CHATS: (usize, usize) = (20, 100);
/// Reads of logs per request, for unread messages that the counts do not tell.
const UNREAD_READS: usize = 20;
/// Chats of which more is read concurrently.
const CONCURRENT_READS: usize = 8;
/// Entries among which the last message is looked for, where the chat does not say which one it is.
const LAST_ENTRIES: usize = 100;

/// A page of a user's chats.
#[derive(Debug, Serialize)]
pub struct ChatList {
    chats: Vec<Box<RawValue>>,
    /// The address of the next page, where there is one.
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
    /// The number of messages of others behind `read_id`, 99 at most.
    unread: u64,
    /// Whether there may be more than that.
    unread_more: bool,
    create_date: Date,
    update_date: Date,
}

/// A chat of the list, as read.
struct ListedChat {
    chat: Chat,
    member: Member,
    /// The number of the member's own messages, where the counts of unread messages can be trusted.
    own_count: Option<u64>,
    /// The last visible entry, and the last visible message.
    last_id: EntryId,
    message: Option<Entry>,
}

/// A place in the list: behind a chat, by the date of its latest activity in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PageCursor(i64, ChatUri);

impl PageCursor {
    fn of(chat: &Chat) -> Self {
        Self(chat.update_date.epoch_microseconds(), chat.uri.clone())
    }
}

impl FromStr for PageCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-').and_then(|(date, uri)| Some(Self(date.parse().ok()?, uri.parse().ok()?)));
        parts.ok_or_else(|| Invalid::field("cursor", "Invalid cursor").into())
    }
}

/// The part of the list that a request asks for.
struct ListRange {
    limit: usize,
    cursor: Option<PageCursor>,
}

impl ListRange {
    fn read(query: &str) -> Result<Self> {
        let query = Query::read(query)?;
        let mut invalid = Invalid::default();
        let cursor = query.text("cursor").map(str::parse).transpose()?;
        let limit = query.limit(CHATS.0, CHATS.1, &mut invalid);
        invalid.unless_empty(Self { limit, cursor })
    }

    fn link(&self, PageCursor(date, uri): PageCursor, target: &Target) -> String {
        let limit = (self.limit != CHATS.0).then(|| ("limit", self.limit.to_string()));
        target.with([("cursor", format!("{date}-{uri}"))].into_iter().chain(limit))
    }
}

impl Confab {
    /// Lists a page of the caller's chats; `target` is the request's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for `cursor` or `limit`.
    pub async fn list_chats(&self, caller: &Caller, target: &Target) -> Result<ChatList> {
        let range = ListRange::read(target.query())?;
        let mut chats = self.chats_of(caller.user.id).await?;
        chats.sort_by_key(|(chat, _)| Reverse(PageCursor::of(chat)));
        if let Some(cursor) = &range.cursor {
            chats.retain(|(chat, _)| PageCursor::of(chat) < *cursor);
        }
        let has_more = chats.len() > range.limit;
        chats.truncate(range.limit);
        let last = chats.last().filter(|_| has_more).map(|(chat, _)| PageCursor::of(chat));
        let summaries = self.summaries(caller.user.id, chats).await?;
        let mut page = Page::new(summaries)?;
        let next = page.cut(PAGE_BYTES, false).or(last).map(|cursor| range.link(cursor, target));
        Ok(ChatList { chats: page.into_items(), next })
    }

    async fn chats_of(&self, user_id: UserId) -> Result<Vec<(Chat, Membership)>> {
        let memberships: Vec<Membership> =
            self.table().pages_under(Partition::User.of(user_id), MEMBERSHIP).all().await?;
        let mut found = self.table().get_many(memberships.iter().map(|membership| Chat::key(&membership.uri))).await?;
        let chat = |membership: Membership| {
            let chat = found.take(&Chat::key(&membership.uri)).transpose()?;
            Some(chat.map(|chat| (chat, membership)))
        };
        memberships.into_iter().filter_map(chat).collect()
    }

    async fn summaries(
        &self,
        user_id: UserId,
        chats: Vec<(Chat, Membership)>,
    ) -> Result<Vec<(PageCursor, ChatSummary)>> {
        let keys = chats.iter().flat_map(|(chat, _)| {
            let last = [chat.last_message_id, chat.last_message_id.previous()];
            let entries = last.into_iter().filter(|id| *id > EntryId::NONE).map(|id| Entry::key(&chat.uri, id));
            entries.chain([Member::key(&chat.uri, user_id)]).collect::<Vec<_>>()
        });
        let mut found = self.table().get_many(keys).await?;
        let mut members = Vec::new();
        for (chat, membership) in chats {
            // A user who has left between the two reads has nothing unread.
            if let Some(member) = found.take::<Member>(&Member::key(&chat.uri, user_id))? {
                let message = last_message(&chat, &mut found)?;
                members.push((chat, membership, member, message));
            }
        }
        let ends = members.into_iter().map(async |(chat, membership, member, message)| {
            let own_count = message.is_some().then_some(membership.own_count);
            let (last_id, message) = self.end(&chat, message).await?;
            Ok::<_, Error>(ListedChat { chat, member, own_count, last_id, message })
        });
        let listed: Vec<ListedChat> = stream::iter(ends).buffered(CONCURRENT_READS).try_collect().await?;
        let seen = listed.iter().flat_map(|listed| {
            let author = listed.message.iter().map(|message| message.body.user_id);
            author.chain([listed.chat.owner_id]).map(|id| (listed.chat.uri.clone(), id)).collect::<Vec<_>>()
        });
        let seen: Vec<_> = seen.collect();
        let messages = listed.iter().filter_map(|listed| Some((&listed.chat.uri, listed.message.as_ref()?)));
        let (users, own) = future::try_join(self.visible_users(seen), self.own_reactions(user_id, messages)).await?;
        let budget = ReadBudget::new(UNREAD_READS);
        let summaries = listed.into_iter().map(async |ListedChat { chat, member, own_count, last_id, message }| {
            let Unread { count, more } = self.unread(&chat, &member, own_count, &budget).await?;
            let cursor = PageCursor::of(&chat);
            let summary = ChatSummary {
                id: chat.id,
                owner: chat.owner(&users)?,
                member_count: chat.member_count,
                last_id,
                last_message: message.and_then(|message| MessageView::new(&chat.uri, message, &users, &own)),
                read_id: member.read_id,
                unread: count,
                unread_more: more,
                create_date: chat.create_date,
                update_date: chat.update_date,
                uri: chat.uri,
            };
            Ok((cursor, summary))
        });
        stream::iter(summaries).buffered(CONCURRENT_READS).try_collect().await
    }

    /// The last visible entry of a chat and its last visible message, which is `message` in a settled chat, if there is
    /// one.
    async fn end(&self, chat: &Chat, message: Option<Entry>) -> Result<(EntryId, Option<Entry>)> {
        let last_id = self.visible_id(chat).await?;
        if chat.last_message_id == EntryId::NONE || message.is_some() && last_id == chat.last_id {
            return Ok((last_id, message));
        }
        let mut scan = self.scan_before(&chat.uri, last_id.next()).page_size(LAST_ENTRIES).bound(LAST_ENTRIES);
        let mut message = None;
        while let Some(Scanned { entry, follows_hole }) = scan.next().await? {
            if follows_hole {
                message = None;
            }
            // Its predecessor has been read only now.
            if message.is_some() {
                break;
            }
            message = Some(entry).filter(|entry| entry.body.kind == EntryType::Message);
        }
        Ok((last_id, message))
    }
}

/// The last message of a chat, where the chat says. A reserved id may have none, and one that follows a hole is not
/// shown (see `log_scan`).
fn last_message(chat: &Chat, found: &mut BatchItems) -> Result<Option<Entry>> {
    let id = chat.last_message_id;
    let follows_hole = id > EntryId(1) && !found.has(&Entry::key(&chat.uri, id.previous()));
    let entry: Option<Entry> = if id == EntryId::NONE { None } else { found.take(&Entry::key(&chat.uri, id))? };
    Ok(entry.filter(|entry| !follows_hole && entry.body.kind == EntryType::Message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_cursor_is_read_or_rejected(text in "[0-9a-f-]{0,40}") {
            if let Ok(PageCursor(date, uri)) = text.parse() {
                prop_assert_eq!(format!("{date}-{uri}").parse::<PageCursor>().unwrap(), PageCursor(date, uri));
            }
        }
    }
}
