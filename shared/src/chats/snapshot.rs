//! A chat with its members, in one query.

use serde::Deserialize;

use super::{
    chat::{CHAT, Chat},
    member::{MEMBER, Member},
};
use crate::{Confab, Result, aws::table::read, ids::ChatUri, key::Partition};

/// The items that are read: a chat and fifteen members fit a read unit of 4 KB.
const ITEMS: usize = 16;

/// A chat, and its members if they are few.
#[derive(Clone, Debug)]
pub(crate) struct ChatSnapshot {
    pub(crate) chat: Chat,
    /// All members; `None` if they are more than were read.
    pub(crate) members: Option<Vec<Member>>,
}

/// The part of an item that says what it is.
#[derive(Deserialize)]
struct SortKey {
    sk: String,
}

impl Confab {
    /// A chat with its members, where there is one. This costs what reading the chat alone costs.
    pub(crate) async fn chat_snapshot(&self, uri: &ChatUri) -> Result<Option<ChatSnapshot>> {
        // The chat is behind its members.
        let mut pages = self.table().pages(Partition::Chat.of(uri)).between(MEMBER, CHAT).backward().limit(ITEMS);
        let items = pages.next().await?.unwrap_or_default();
        let is_whole = items.len() < ITEMS;
        let mut items = items.into_iter();
        let Some(last) = items.next() else { return Ok(None) };
        // An import writes the members first.
        if read::<SortKey>(last.clone())?.sk != CHAT {
            return Ok(None);
        }
        let members = is_whole.then(|| items.map(read).collect::<Result<_>>()).transpose()?;
        Ok(Some(ChatSnapshot { chat: read(last)?, members }))
    }
}
