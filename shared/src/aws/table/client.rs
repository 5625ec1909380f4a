//! The table's client, single reads, and what all reads have in common.
//!
//! Every read is strongly consistent, and an item past its `expires_at` is never returned: DynamoDB deletes expired
//! items late, by up to days (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html>).

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use backon::{BackoffBuilder, ExponentialBuilder};
use serde::de::DeserializeOwned;
use serde_dynamo::aws_sdk_dynamodb_1::from_item;

use crate::{Error, Result, aws::client::config, date::Date, environment::Environment, key::Key, metrics};

/// An item as DynamoDB returns it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The table, through its client.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

impl Table {
    /// The table that `TABLE_NAME` names.
    ///
    /// # Errors
    /// When the variable is missing.
    pub(crate) fn new(environment: &Environment) -> Result<Self> {
        let name = environment.require("TABLE_NAME")?.to_owned();
        Ok(Self { client: Client::new(&config(environment, "DYNAMODB")), name })
    }

    /// Reads one item.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is not a `T`.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: Key) -> Result<Option<T>> {
        metrics::called_dynamodb();
        let request = self.client.get_item().table_name(&self.name).set_key(Some(key.into()));
        let answer = request.consistent_read(true).send().await?;
        answer.item.filter(is_fresh).map(read).transpose()
    }

    /// All items of all partitions with this sort key, each read as a `T`. This reads the whole table, which no request
    /// may wait for.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not a `T`.
    pub(crate) async fn scan<T: DeserializeOwned>(&self, sk: &str) -> Result<Vec<T>> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true).filter_expression("sk = :sk");
        let mut pages =
            scan.expression_attribute_values(":sk", AttributeValue::S(sk.to_owned())).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.try_next().await? {
            for item in page.items.unwrap_or_default().into_iter().filter(is_fresh) {
                all.push(read(item)?);
            }
        }
        Ok(all)
    }
}

/// Reads an item into its type.
///
/// # Errors
/// When the item does not have the shape of `T`.
pub(crate) fn read<T: DeserializeOwned>(item: Item) -> Result<T> {
    Ok(from_item(item)?)
}

impl From<Key> for Item {
    fn from(Key { pk, sk }: Key) -> Self {
        [("pk", pk), ("sk", sk)].map(|(name, text)| (name.to_owned(), AttributeValue::S(text))).into()
    }
}

/// Whether an item has not expired.
pub(super) fn is_fresh(item: &Item) -> bool {
    let expires_at = item.get("expires_at").and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    expires_at.is_none_or(|expires_at| expires_at >= Date::now().epoch_seconds())
}

/// How long requests back off in all while others contend for an item or a partition, well before API Gateway's limit
/// of 30 seconds.
const CONTENTION: Duration = Duration::from_secs(8);

/// The back-off where requests contend for an item or a partition. DynamoDB does not queue them.
pub(super) fn contention_pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_millis(400))
        .without_max_times()
        .with_total_delay(Some(CONTENTION))
        .with_jitter()
        .build()
}

/// Waits for the next pause, or fails with [`Error::Busy`] after the last.
pub(super) async fn pause(
    pauses: &mut impl Iterator<Item = Duration>,
    cause: Option<crate::error::Cause>,
) -> Result<()> {
    let Some(pause) = pauses.next() else { return Err(Error::Busy(cause)) };
    tokio::time::sleep(pause).await;
    Ok(())
}
