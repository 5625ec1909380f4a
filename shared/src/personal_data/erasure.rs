//! The erasure of deleted accounts, from a queue and in bounded steps.
//!
//! | step | does |
//! |---|---|
//! | chats | leaves some of the chats; an owner's pass to the longest-standing member |
//! | former chats | removes those that nobody is in any more; erases a part of the user's messages, if that was asked for |
//! | the rest | deletes what is left in the user's partitions |
//!
//! **Invariant.** What has been done is seen in the table: the memberships, their traces and the deletion are deleted
//! last of what they stand for. So a step can be repeated, and whichever step comes next finds what is left.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;

use crate::{
    Confab, Error, Result,
    accounts::{
        deletion::{Deletion, ErasureRequest, Messages},
        exchange::KnownIdentity,
        membership_count::MEMBERSHIP,
    },
    auth::user::Profile,
    aws::{queue::Queue, table::Write},
    chats::{
        chat::Chat,
        former_membership::{FORMER_MEMBERSHIP, FormerMembership},
        member::Membership,
    },
    ids::{ChatUri, MessageId, UserId},
    key::{Key, Partition},
    realtime::batch::{Batch, Consumer, Record, SlowConsumers},
};

/// Chats that a step leaves, and former chats that it looks at.
const CHATS: usize = 10;
/// Chats that are left concurrently.
const CONCURRENT_CHATS: usize = 4;
/// Entries that a step reads to find messages of the user, roughly, and messages that it erases.
const ENTRIES: usize = 1000;
const MESSAGES: usize = 50;
/// A step that has taken this long leaves the other chats to the next one.
const STEP: Duration = Duration::from_secs(3);

struct Erasure;

impl Consumer for Erasure {
    fn queue(confab: &Confab) -> Result<&Queue> {
        confab.erasures()
    }

    async fn consume(confab: &Confab, records: &[Record], _: &SlowConsumers) -> Result<ControlFlow<usize, usize>> {
        let Some(record) = records.first() else { return Ok(ControlFlow::Continue(0)) };
        match serde_json::from_str(&record.body) {
            Ok(ErasureRequest { user_id }) => {
                if confab.erase_step(user_id).await? {
                    // If this is done twice, the queue has one of them.
                    confab.request_erasure(user_id, record.message_id.as_str()).await?;
                }
            }
            Err(_) => confab.dead_letter(record).await?,
        }
        Ok(ControlFlow::Continue(1))
    }
}

impl Confab {
    /// Does the next step of the erasure of each account in a batch, and returns the messages to retry.
    pub async fn erase_accounts(&self, batch: Batch) -> Vec<MessageId> {
        self.process::<Erasure>(batch).await
    }

    /// Does the next step of the erasure of an account. Returns whether there is more to do.
    async fn erase_step(&self, user_id: UserId) -> Result<bool> {
        let deletion: Option<Deletion> = self.table().get(Deletion::key(user_id)).await?;
        // It has been erased, or is not an account that was deleted.
        let Some(deletion) = deletion else { return Ok(false) };
        let chats: Vec<Membership> = self.some_of(user_id, MEMBERSHIP).await?;
        if !chats.is_empty() {
            let left = stream::iter(chats).map(async |chat| self.withdraw(&chat.uri, user_id).await);
            left.buffer_unordered(CONCURRENT_CHATS).try_collect::<()>().await?;
            return Ok(true);
        }
        let former: Vec<FormerMembership> = self.some_of(user_id, FORMER_MEMBERSHIP).await?;
        if former.is_empty() {
            return self.erase_the_rest(user_id).await.map(|()| false);
        }
        let started = Instant::now();
        for former in former {
            if !self.erase_from(&former, user_id, deletion.messages).await? || started.elapsed() > STEP {
                break;
            }
        }
        Ok(true)
    }

    /// The first few items of a kind in a user's partition.
    async fn some_of<T: DeserializeOwned>(&self, user_id: UserId, prefix: &str) -> Result<Vec<T>> {
        self.table().pages_under(Partition::User.of(user_id), prefix).limit(CHATS).up_to(CHATS).await
    }

    /// Erases a part of what a user left in a chat. Returns whether it was the last part; then the trace is gone too.
    async fn erase_from(&self, former: &FormerMembership, user_id: UserId, messages: Messages) -> Result<bool> {
        let uri = &former.uri;
        self.remove_empty_chat(uri, user_id).await?;
        let is_done = match self.table().get::<Chat>(Chat::key(uri)).await? {
            None => !self.remove_log(uri).await?,
            Some(chat) if messages == Messages::Erase => self.erase_messages(&chat, former, user_id).await?,
            Some(_) => true,
        };
        if is_done {
            self.table().apply(Write::delete(FormerMembership::key(uri, user_id))).await?;
        }
        Ok(is_done)
    }

    /// Erases some messages of a user. Returns whether they were the last.
    async fn erase_messages(&self, chat: &Chat, former: &FormerMembership, user_id: UserId) -> Result<bool> {
        let uri: &ChatUri = &chat.uri;
        let mut scan = self.scan_after(uri, former.erased_id).bound(ENTRIES);
        let (mut erased_id, mut erased) = (former.erased_id, 0);
        while erased < MESSAGES
            && let Some(scanned) = scan.next().await?
        {
            let entry = scanned.entry;
            if entry.is_message() && entry.body.user_id == user_id {
                self.erase_message(uri, entry.id, user_id).await?;
                erased += 1;
            }
            erased_id = entry.id;
        }
        // What was appended since the user left is not the user's.
        if erased_id >= chat.last_id {
            return Ok(true);
        }
        self.table().apply(FormerMembership::erased_up_to(uri, user_id, erased_id)).await?;
        match erased < MESSAGES && !scan.is_bounded() {
            // There is a hole, which will be closed.
            true => Err(Error::Busy(Some("the log has a hole".into()))),
            false => Ok(false),
        }
    }

    /// Deletes the tokens and what is left in the user's partition, the deletion last.
    async fn erase_the_rest(&self, user_id: UserId) -> Result<()> {
        self.erase_items(Partition::Tokens.of(user_id), None).await?;
        // Without a token, every socket is unauthorized.
        self.close_unauthorized_sockets(user_id).await?;
        let profile: Option<Profile> = self.table().get(Profile::key(user_id)).await?;
        let identity = profile.and_then(|profile| profile.identity);
        let identity = identity.iter().map(|identity| Write::delete(KnownIdentity::key(identity)));
        self.table().write_many(identity.collect()).await?;
        self.erase_items(Partition::User.of(user_id), Some(&Deletion::key(user_id))).await?;
        self.table().apply(Write::delete(Deletion::key(user_id))).await.map(drop)
    }

    /// Deletes all items of a partition but one.
    async fn erase_items(&self, partition: String, kept: Option<&Key>) -> Result<()> {
        let items = self.table().pages(partition).all::<Key>().await?;
        let items = items.into_iter().filter(|key| Some(key) != kept);
        self.table().write_many(items.map(Write::delete).collect()).await
    }
}
