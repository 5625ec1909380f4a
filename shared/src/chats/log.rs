//! The log of a chat: everything that happens in it, numbered from 1 without gaps.
//!
//! **Invariant.** An entry is written in one transaction with the step of its chat's `last_id` and with the state that it
//! changes. So whoever has seen n knows that everything below n exists, and "everything after n" is a complete answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    aws::table::{Key, Pages, Reason, Transacted, Write, read},
    chats::chat::Chat,
    date::Date,
    ids::{ChatUri, EntryId, LAST_ID, UserId},
    metrics::{self, Metric},
};

/// An append that others keep coming before gives up after so long, and the caller gets a 503 well before API Gateway's 30
/// seconds.
const APPENDING: Duration = Duration::from_secs(8);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryType {
    /// Somebody said something.
    Message,
    /// Somebody came in.
    Joined,
    /// Somebody left, or was removed.
    Left,
    /// Somebody became the owner.
    Owner,
    /// A message says something else now.
    Edited,
    /// A message was taken back.
    Deleted,
    /// Somebody put an emoji to a message.
    Reacted,
    /// Somebody took it away again.
    Unreacted,
}

/// Who has put which emoji to a message.
pub(crate) type Reactions = BTreeMap<String, BTreeSet<UserId>>;

/// An entry as stored. What was said in a message changes with it; everything else about an entry stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The number in the log.
    #[serde(rename = "sk", with = "padded")]
    pub id: EntryId,
    /// What happened.
    #[serde(flatten)]
    pub body: EntryBody,
    /// When.
    pub create_date: Date,
    /// When a message was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit_date: Option<Date>,
    /// When a message was deleted. Of what it said nothing is left then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_date: Option<Date>,
    /// The reactions to a message. A message has them from the start, because DynamoDB adds to a map only where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reactions: Option<Reactions>,
    /// The last entry about a message, which is itself at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed_id: Option<EntryId>,
}

/// Something that happens, of which only its number and date are not known yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EntryBody {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EntryType,
    /// Who did it, or whom it happened to.
    pub user_id: UserId,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The message that a message replies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<EntryId>,
    /// The message that was edited, deleted or reacted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<EntryId>,
    /// With what was reacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub emoji: Option<String>,
    /// What a message's fingerprint in its idempotency record is salted with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) salt: Option<String>,
}

impl EntryBody {
    /// Something that somebody does, or that happens to them.
    pub fn new(kind: EntryType, user_id: UserId) -> Self {
        Self { kind, user_id, message: None, reply_to: None, of: None, emoji: None, salt: None }
    }
}

impl Entry {
    /// The entry with this number.
    pub fn new(id: EntryId, body: EntryBody, create_date: Date) -> Self {
        let is_message = body.kind == EntryType::Message;
        let (reactions, changed_id) = (is_message.then(Reactions::new), is_message.then_some(id));
        Self { id, body, create_date, edit_date: None, delete_date: None, reactions, changed_id }
    }

    /// Whether it is a message that has not been deleted.
    pub(crate) fn is_message(&self) -> bool {
        self.body.kind == EntryType::Message && self.delete_date.is_none()
    }
}

/// Numbers as sort keys: sixteen digits, so that their order as text is their order as numbers.
mod padded {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::sort_key(*id))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn sort_key(id: EntryId) -> String {
    format!("{id:016}")
}

/// Where an entry is.
pub(crate) fn entry_key(uri: &ChatUri, id: EntryId) -> Key {
    Key::new(partition(uri), sort_key(id))
}

fn partition(uri: &ChatUri) -> String {
    format!("LOG#{uri}")
}

/// How an attempt to append ended.
enum Attempt {
    /// These entries are in the log.
    Written(Vec<Entry>),
    /// Others were first. The chat as their transaction left it, where the refusal showed it.
    Behind(Option<Chat>),
}

impl Confab {
    /// Appends entries to a chat's log on behalf of `actor`, whose rate limit they count against, in one transaction with the changes
    /// that `changes` makes of them. `chat` is the chat as it was last read; `changes` is given the chat as it is right before the
    /// entries. If the log has grown since, the append is tried again behind what has come.
    ///
    /// # Errors
    /// The error of the first change whose condition does not hold ([`Write::otherwise`]); [`Error::Throttled`];
    /// [`Error::NotFound`] without a chat; [`Error::Busy`] if others kept coming first for too long.
    pub async fn append(
        &self,
        chat: &Chat,
        actor: UserId,
        bodies: &[EntryBody],
        changes: impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Vec<Entry>> {
        let mut chat = chat.clone();
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(8))
            .with_max_delay(Duration::from_millis(400))
            .with_factor(1.5)
            .without_max_times()
            .with_jitter()
            .build();
        let started = Instant::now();
        let mut rested = true;
        loop {
            // The refusal tells how far the log is now, which is good for one more try at once. After that a pause, or a crowd would
            // go on refusing each other; and since the log grows meanwhile, a look at where it is.
            match self.append_once(&chat, actor, bodies, &changes).await? {
                Attempt::Written(entries) => return Ok(entries),
                Attempt::Behind(Some(found)) if rested => {
                    chat = found;
                    rested = false;
                }
                Attempt::Behind(_) => {
                    let pause = pauses.next().filter(|_| started.elapsed() < APPENDING);
                    tokio::time::sleep(pause.ok_or(Error::Busy(None))?).await;
                    chat = self.chat(&chat.uri).await?;
                    rested = true;
                }
            }
        }
    }

    async fn append_once(
        &self,
        chat: &Chat,
        actor: UserId,
        bodies: &[EntryBody],
        changes: &impl Fn(&Chat, &[Entry]) -> Result<Vec<Write>>,
    ) -> Result<Attempt> {
        let create_date = Date::now();
        let entries: Vec<Entry> =
            (chat.last_id + 1..).zip(bodies).map(|(id, body)| Entry::new(id, body.clone(), create_date)).collect();
        let mut writes = vec![chat.advance(&entries, create_date)?];
        for entry in &entries {
            writes.push(Write::put(entry_key(&chat.uri, entry.id), entry)?.if_absent());
        }
        let log = writes.len();
        writes.extend(changes(chat, &entries)?);
        writes.extend(self.charge(Rate::Entries, actor, entries.len()));
        let Transacted::Refused(reasons) = self.table().transact_once(writes).await? else {
            return Ok(Attempt::Written(entries));
        };
        let mut behind = None;
        for (place, reason) in reasons.into_iter().enumerate() {
            match reason {
                // A change's own condition counts for more than that others have been there first.
                Reason::Condition(failed) if place >= log => return Err(failed.error()),
                Reason::Condition(failed) if place == 0 => behind = Some(failed.item),
                _ => {}
            }
        }
        metrics::count(Metric::TransactionRetries, 1);
        match behind {
            Some(None) => Err(Error::NotFound),
            Some(Some(found)) => Ok(Attempt::Behind(Some(read(&found)?))),
            None => Ok(Attempt::Behind(None)),
        }
    }

    /// A chat as it is now.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none.
    pub(crate) async fn chat(&self, uri: &ChatUri) -> Result<Chat> {
        self.table().get(&Chat::key(uri)).await?.ok_or(Error::NotFound)
    }

    /// The id of the last entry.
    pub(crate) async fn last_id(&self, uri: &ChatUri) -> Result<EntryId> {
        Ok(self.chat(uri).await?.last_id)
    }

    /// The chat, read again if need be, if its log has an entry `id`. It may have grown since the chat was read, and the caller may
    /// know that.
    pub(crate) async fn chat_with(&self, chat: &Chat, id: EntryId) -> Result<Option<Chat>> {
        let chat = if id > chat.last_id { self.chat(&chat.uri).await? } else { chat.clone() };
        Ok(Some(chat).filter(|chat| (1..=chat.last_id).contains(&id)))
    }

    /// The entries after `after`, in order, until there are no more or `enough` says so of what there is.
    pub(crate) async fn entries_after(
        &self,
        uri: &ChatUri,
        after: EntryId,
        mut enough: impl FnMut(&[Entry]) -> bool,
    ) -> Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut pages = self.log_pages(uri, after + 1, LAST_ID);
        while let Some(page) = pages.next().await? {
            for item in &page {
                entries.push(read(item)?);
            }
            if enough(&entries) {
                break;
            }
        }
        Ok(without_holes(entries, after))
    }

    pub(crate) fn log_pages(&self, uri: &ChatUri, first: EntryId, last: EntryId) -> Pages<'_> {
        self.table().pages(partition(uri)).between(sort_key(first), sort_key(last))
    }
}

/// The entries up to the first hole. A query may see a transaction half done
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>, "read-committed"), so an entry
/// can show before its predecessor does; what is behind such a hole is not told yet.
fn without_holes(entries: Vec<Entry>, after: EntryId) -> Vec<Entry> {
    (after + 1..).zip(entries).take_while(|(id, entry)| *id == entry.id).map(|(_, entry)| entry).collect()
}

/// Something on the exchange, of which only this much matters here.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) uri: ChatUri,
    /// Which entry of the log it is about. What another program publishes may have an `id` of its own, but no type of ours.
    pub(crate) id: Option<EntryId>,
}

impl Hint {
    /// Reads a hint: any JSON object with a `uri`.
    pub(crate) fn read(object: &Value) -> Option<Self> {
        let uri = ChatUri::deserialize(object.get("uri")?).ok()?;
        let is_entry = object.get("type").is_some_and(|kind| EntryType::deserialize(kind).is_ok());
        let id = object.get("id").and_then(Value::as_u64).filter(|id| is_entry && (1..=LAST_ID).contains(id));
        Some(Self { uri, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(id: EntryId) -> Entry {
        Entry::new(id, EntryBody::new(EntryType::Message, UserId(1)), Date::now())
    }

    #[test]
    fn nothing_is_told_from_behind_a_hole() {
        let ids = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(without_holes([5, 6, 8].map(entry).into(), 4)), [5, 6]);
        assert_eq!(ids(without_holes([6, 7].map(entry).into(), 4)), [0; 0]);
    }

    proptest! {
        #[test]
        fn sort_keys_sort_as_numbers(a in 0..=LAST_ID, b in 0..=LAST_ID) {
            prop_assert_eq!(sort_key(a).cmp(&sort_key(b)), a.cmp(&b));
        }
    }
}
