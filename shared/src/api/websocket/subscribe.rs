//! `subscribe`: subscribes a connection to a chat, and with `after` sends what the client missed since that entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{request::required_text, response::SocketResponse};
use crate::{
    Confab, Error, Result,
    chats::{chat::Chat, entry::Entry, member::MEMBERS_SHOWN},
    ids::{ChatUri, ConnectionId, EntryId, UserId},
    input::fields::Fields,
    realtime::frame::MESSAGE_BYTES,
};

/// More entries than this cannot fit one message, so a client that missed more gets `recovered: false` without a read.
const RECOVERABLE_ENTRIES: u64 = 1000;
/// What a `subscribed` frame needs besides its entries, generously: for each member some ids of sixteen digits.
const SUBSCRIBED_BYTES: usize = 256 + 60 * MEMBERS_SHOWN as usize;

#[derive(Debug)]
pub(super) struct Subscribe {
    uri: String,
    after: Option<EntryId>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "subscribed")]
struct Subscribed<'a> {
    uri: &'a ChatUri,
    last_id: EntryId,
    recovered: bool,
    entries: Vec<Box<RawValue>>,
    #[serde(flatten)]
    standing: Option<Standing>,
}

/// What is not in the log, for a client that comes back and has missed the events. In chats of more than
/// [`MEMBERS_SHOWN`] members it is not tracked.
#[derive(Default, Serialize)]
struct Standing {
    /// How far each member has read.
    read: Option<BTreeMap<UserId, EntryId>>,
    /// The members who are online.
    online: Option<BTreeSet<UserId>>,
}

impl Subscribe {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self { uri: required_text(fields, "uri")?, after: fields.entry_id("after")? })
    }

    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        let connection = confab.connection(connection_id).await?;
        let access = confab.authorize_as(connection.identity.clone(), self.uri.parse().ok(), None).await?;
        let chat = access.require_member()?;
        // Register first, read second: what is written in between then comes twice rather than never.
        confab.register_subscription(connection_id, &connection, &chat.uri).await?;
        let (last_id, missed) = match self.after {
            None => (confab.last_id(&chat.uri).await?, Some(Vec::new())),
            // A client that is ahead of the log has seen another one, from before a restore perhaps.
            Some(after) if after > chat.last_id => (chat.last_id, None),
            Some(after) if chat.last_id.0 - after.0 > RECOVERABLE_ENTRIES => (chat.last_id, None),
            Some(after) => missed(confab, &chat.uri, after).await?,
        };
        SocketResponse::frame(&Subscribed {
            uri: &chat.uri,
            last_id,
            recovered: missed.is_some(),
            entries: missed.unwrap_or_default(),
            standing: match self.after {
                Some(_) => Some(standing(confab, chat).await?),
                None => None,
            },
        })
    }
}

async fn standing(confab: &Confab, chat: &Chat) -> Result<Standing> {
    if chat.member_count > MEMBERS_SHOWN {
        return Ok(Standing::default());
    }
    let members = confab.members(&chat.uri).await?;
    let read = members.into_iter().map(|member| (member.user_id, member.read_id)).collect();
    Ok(Standing { read: Some(read), online: confab.online_users(&chat.uri).await? })
}

/// What a client missed since `after`, if it fits one message, and the id of its last entry.
async fn missed(confab: &Confab, uri: &ChatUri, after: EntryId) -> Result<(EntryId, Option<Vec<Box<RawValue>>>)> {
    // An entry takes more on the wire than its message does, so this stops no reading too early.
    let too_much = |entries: &[Entry]| {
        entries.iter().filter_map(|e| e.body.message.as_ref()).map(String::len).sum::<usize>() > MESSAGE_BYTES
    };
    let (entries, context) = confab.events_after(uri, after, too_much).await?;
    let last_id = entries.last().map_or(after, |entry| entry.id);
    let mut bytes = SUBSCRIBED_BYTES;
    let mut missed = Vec::new();
    for entry in &entries {
        let event = RawValue::from_string(context.event(uri, entry)?).map_err(Error::internal)?;
        bytes += event.get().len() + 1;
        if bytes > MESSAGE_BYTES {
            return Ok((confab.last_id(uri).await?, None));
        }
        missed.push(event);
    }
    Ok((last_id, Some(missed)))
}
