//! Reads and writes of many items in one call.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_sdk_dynamodb::types::{KeysAndAttributes, WriteRequest};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::de::DeserializeOwned;

use super::{
    client::{Item, Table, contention_pauses, is_fresh, pause, read},
    write::Write,
};
use crate::{Error, Result, key::Key, metrics};

/// The limit of BatchGetItem (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
const KEYS_PER_READ: usize = 100;
/// Concurrent reads of that size.
const READS: usize = 8;
/// The limit of BatchWriteItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>).
pub(crate) const WRITES_PER_BATCH: usize = 25;

/// The items that a read of several keys found.
#[derive(Debug, Default)]
pub(crate) struct BatchItems(HashMap<Key, Item>);

impl BatchItems {
    /// Whether nothing was found, or all has been taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is an item at `key`.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// Takes the item at `key` out, where there is one.
    ///
    /// # Errors
    /// When the item does not have the shape of `T`.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, key: &Key) -> Result<Option<T>> {
        self.0.remove(key).map(read).transpose()
    }

    /// The items that are left, each read as a `T`.
    ///
    /// # Errors
    /// When an item does not have the shape of `T`.
    pub(crate) fn all<T: DeserializeOwned>(self) -> Result<HashMap<Key, T>> {
        self.0.into_iter().map(|(key, item)| Ok((key, read(item)?))).collect()
    }
}

impl Table {
    /// Reads several items, in one round trip for each hundred keys, some of them concurrently. Without keys it makes
    /// none.
    ///
    /// # Errors
    /// When DynamoDB fails or keeps leaving keys unread.
    pub(crate) async fn get_many(&self, keys: impl IntoIterator<Item = Key>) -> Result<BatchItems> {
        let keys: Vec<Key> = keys.into_iter().collect::<HashSet<_>>().into_iter().collect();
        let batches: Vec<_> = keys.chunks(KEYS_PER_READ).map(|batch| self.get_batch(batch)).collect();
        let found: Vec<Vec<(Key, Item)>> = stream::iter(batches).buffer_unordered(READS).try_collect().await?;
        Ok(BatchItems(found.into_iter().flatten().collect()))
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<(Key, Item)>> {
        let mut found = Vec::new();
        let mut wanted: Vec<Item> = keys.iter().cloned().map(Item::from).collect();
        let mut pauses = contention_pauses();
        loop {
            let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build()?;
            metrics::called_dynamodb();
            let answer = self.client.batch_get_item().request_items(&self.name, request).send().await?;
            let items = answer.responses.into_iter().flatten().flat_map(|(_, items)| items);
            found.extend(items.filter(is_fresh).filter_map(|item| Some((key_of(&item)?, item))));
            // Items beyond 16 MB or the partition's capacity are left for another call.
            wanted = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, rest)| rest.keys).collect();
            if wanted.is_empty() {
                return Ok(found);
            }
            pause(&mut pauses, None).await?;
        }
    }

    /// Puts and deletes items unconditionally, in one round trip for each 25; not atomically, and in no order. It backs
    /// off while DynamoDB has no capacity left, for half a minute at most.
    ///
    /// # Errors
    /// When DynamoDB fails, or a write has a condition or is an update, which cannot be done like this.
    pub(crate) async fn write_many(&self, writes: Vec<Write>) -> Result<()> {
        let requests = writes.into_iter().map(Write::into_batch_request).collect::<Result<Vec<_>>>()?;
        for batch in requests.chunks(WRITES_PER_BATCH) {
            self.write_batch(batch.to_vec()).await?;
        }
        Ok(())
    }

    async fn write_batch(&self, mut requests: Vec<WriteRequest>) -> Result<()> {
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(4))
            .with_max_times(12)
            .with_jitter()
            .build();
        loop {
            metrics::called_dynamodb();
            let sent = self.client.batch_write_item().request_items(&self.name, requests.clone()).send().await;
            let mut cause = None;
            match sent.map_err(Error::from) {
                Ok(answer) => {
                    requests = answer.unprocessed_items.into_iter().flatten().flat_map(|(_, rest)| rest).collect();
                }
                Err(Error::Busy(why)) => cause = why,
                Err(error) => return Err(error),
            }
            if requests.is_empty() {
                return Ok(());
            }
            pause(&mut pauses, cause).await?;
        }
    }
}

/// The key among an item's attributes.
fn key_of(item: &Item) -> Option<Key> {
    let text = |name| item.get(name)?.as_s().ok().cloned();
    Some(Key { pk: text("pk")?, sk: text("sk")? })
}
