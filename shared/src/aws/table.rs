//! The one DynamoDB table: its keys, and the few ways of reading and writing it that the domain uses.
//!
//! Every read is strongly consistent, and an item past its `expires_at` is never returned: DynamoDB deletes expired items
//! late, by up to days (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html>).

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{
        delete_item::DeleteItemError, put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    },
    types::{
        AttributeValue, CancellationReason, ConditionCheck, Delete, DeleteRequest, KeysAndAttributes, Put, PutRequest,
        ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, WriteRequest,
    },
};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_dynamo::aws_sdk_dynamodb_1::{from_item, to_attribute_value, to_item};

use crate::{
    Error, Result,
    date::Date,
    environment::Environment,
    metrics::{self, Metric},
};

/// An item as DynamoDB gives it.
pub type Item = HashMap<String, AttributeValue>;

/// DynamoDB takes at most so many keys in one BatchGetItem.
const KEYS_PER_READ: usize = 100;

/// So many such reads are under way at the same time.
const READS: usize = 8;
/// DynamoDB takes at most so many writes in one BatchWriteItem.
pub(crate) const WRITES_PER_BATCH: usize = 25;

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Key {
    /// The partition.
    pub pk: String,
    /// The place in the partition.
    pub sk: String,
}

impl Key {
    /// A key of these two parts.
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    fn attributes(&self) -> Item {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }

    fn of(item: &Item) -> Option<Self> {
        let text = |name| item.get(name)?.as_s().ok().cloned();
        Some(Self { pk: text("pk")?, sk: text("sk")? })
    }
}

/// What a read of several keys found.
#[derive(Debug, Default)]
pub struct BatchItems(HashMap<Key, Item>);

impl BatchItems {
    /// Whether there is an item at `key`.
    pub fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    /// The item at `key`, where there is one.
    ///
    /// # Errors
    /// When the item does not have the shape of `T`.
    pub fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        self.0.get(key).map(read).transpose()
    }
}

/// Reads an item into its type.
///
/// # Errors
/// When the item does not have the shape of `T`.
pub fn read<T: DeserializeOwned>(item: &Item) -> Result<T> {
    Ok(from_item(item.clone())?)
}

/// One write, to be applied alone or in a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    key: Key,
    kind: Kind,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: Item,
    otherwise: Option<Otherwise>,
}

/// The error that a failed condition means, given the item that failed it.
#[derive(Clone)]
struct Otherwise(Arc<Meaning>);

type Meaning = dyn Fn(Option<&Item>) -> Error + Send + Sync;

impl fmt::Debug for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otherwise")
    }
}

#[derive(Clone, Debug)]
enum Kind {
    Put(Item),
    Update(String),
    Delete,
    Check,
}

impl Write {
    fn new(key: Key, kind: Kind) -> Self {
        Self { key, kind, condition: None, names: HashMap::new(), values: HashMap::new(), otherwise: None }
    }

    /// Puts an item, whole.
    ///
    /// # Errors
    /// When the item cannot be written as DynamoDB attributes.
    pub fn put(key: Key, item: &impl Serialize) -> Result<Self> {
        let mut item: Item = to_item(item)?;
        item.extend(key.attributes());
        Ok(Self::new(key, Kind::Put(item)))
    }

    /// Changes an item by an update expression.
    pub fn update(key: Key, expression: &str) -> Self {
        Self::new(key, Kind::Update(expression.to_owned()))
    }

    /// Deletes an item.
    pub fn delete(key: Key) -> Self {
        Self::new(key, Kind::Delete)
    }

    /// Writes nothing, and lets a transaction pass only if `condition` holds of the item.
    pub fn check(key: Key, condition: &str) -> Self {
        Self::new(key, Kind::Check).when(condition)
    }

    /// Only if `condition` holds.
    pub fn when(mut self, condition: &str) -> Self {
        self.condition = Some(condition.to_owned());
        self
    }

    /// Only if there is no such item, or one that has expired and that DynamoDB has yet to delete.
    pub fn if_absent(self) -> Self {
        let now = AttributeValue::N(Date::now().epoch_seconds().to_string());
        self.when("attribute_not_exists(pk) OR expires_at < :now").value(":now", now)
    }

    /// Only if there is such an item.
    pub fn if_present(self) -> Self {
        self.when("attribute_exists(pk)")
    }

    /// What it means if the condition does not hold: [`Table::transact`] returns this error, made of the item that failed it.
    pub fn otherwise(self, error: impl Fn(Option<&Item>) -> Error + Send + Sync + 'static) -> Self {
        Self { otherwise: Some(Otherwise(Arc::new(error))), ..self }
    }

    /// Lets a name stand for an attribute whose own is a word of DynamoDB's.
    pub fn name(mut self, name: &str, attribute: &str) -> Self {
        self.names.insert(name.to_owned(), attribute.to_owned());
        self
    }

    /// Gives a value to a name in the expressions.
    pub fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// Gives a number to a name in the expressions.
    pub fn number(self, name: &str, number: impl ToString) -> Self {
        self.value(name, AttributeValue::N(number.to_string()))
    }

    /// Gives a set of numbers to a name in the expressions.
    pub fn numbers<T: ToString>(self, name: &str, numbers: impl IntoIterator<Item = T>) -> Self {
        self.value(name, AttributeValue::Ns(numbers.into_iter().map(|number| number.to_string()).collect()))
    }

    /// Gives a text to a name in the expressions.
    pub fn text(self, name: &str, text: impl ToString) -> Self {
        self.value(name, AttributeValue::S(text.to_string()))
    }

    /// Gives any serializable value to a name in the expressions.
    ///
    /// # Errors
    /// When the value cannot be written as a DynamoDB attribute.
    pub fn serialized(self, name: &str, value: &impl Serialize) -> Result<Self> {
        Ok(self.value(name, to_attribute_value(value)?))
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    fn values(&self) -> Option<Item> {
        (!self.values.is_empty()).then(|| self.values.clone())
    }
}

/// How a write ended.
#[derive(Debug)]
pub enum Applied {
    /// It was done. An update gives the item as it is now, a deletion the item as it was.
    Done(Option<Item>),
    /// Its condition did not hold, of this item.
    ConditionFailed(Option<Item>),
}

/// How a transaction ended.
#[derive(Debug)]
pub(crate) enum Transacted {
    /// All of it was done.
    Done,
    /// None of it was done, for these reasons, one for each write.
    Refused(Vec<Reason>),
}

/// Why a write kept its transaction from being done.
#[derive(Debug)]
pub(crate) enum Reason {
    /// It did not.
    None,
    /// Its condition did not hold.
    Condition(ConditionFailed),
    /// Another transaction was at work on the item, or DynamoDB was short of capacity: worth another try.
    Conflict,
}

/// A condition that did not hold.
#[derive(Debug)]
pub(crate) struct ConditionFailed {
    /// The item that it did not hold of.
    pub(crate) item: Option<Item>,
    otherwise: Option<Otherwise>,
}

impl ConditionFailed {
    /// The error that it means.
    pub(crate) fn error(&self) -> Error {
        match &self.otherwise {
            Some(Otherwise(error)) => error(self.item.as_ref()),
            None => Error::internal("a condition did not hold that carries no error"),
        }
    }
}

/// The table, through its client.
#[derive(Clone, Debug)]
pub struct Table {
    client: Client,
    name: String,
}

impl Table {
    /// The table that `TABLE_NAME` names.
    ///
    /// # Errors
    /// When the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self> {
        Ok(Self {
            client: Client::new(&environment.client("DYNAMODB")),
            name: environment.require("TABLE_NAME")?.to_owned(),
        })
    }

    /// Reads one item.
    ///
    /// # Errors
    /// When DynamoDB fails or the item is not a `T`.
    pub async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        metrics::called_dynamodb();
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await?;
        answer.item.filter(is_fresh).as_ref().map(read).transpose()
    }

    /// Reads several items, in one round trip for each hundred keys, some of them at the same time. Without keys it makes none.
    ///
    /// # Errors
    /// When DynamoDB fails or keeps leaving keys unread.
    pub async fn get_many(&self, keys: impl IntoIterator<Item = Key>) -> Result<BatchItems> {
        let keys: Vec<Key> = keys.into_iter().collect::<HashSet<_>>().into_iter().collect();
        let batches: Vec<_> = keys.chunks(KEYS_PER_READ).map(|batch| self.get_batch(batch)).collect();
        let found: Vec<Vec<(Key, Item)>> = stream::iter(batches).buffer_unordered(READS).try_collect().await?;
        Ok(BatchItems(found.into_iter().flatten().collect()))
    }

    async fn get_batch(&self, keys: &[Key]) -> Result<Vec<(Key, Item)>> {
        let mut found = Vec::new();
        let mut wanted: Vec<Item> = keys.iter().map(Key::attributes).collect();
        let mut pauses =
            ExponentialBuilder::new().with_min_delay(Duration::from_millis(20)).with_max_times(4).with_jitter().build();
        loop {
            let request = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build()?;
            metrics::called_dynamodb();
            let answer = self.client.batch_get_item().request_items(&self.name, request).send().await?;
            let items = answer.responses.into_iter().flatten().flat_map(|(_, items)| items);
            found.extend(items.filter(is_fresh).filter_map(|item| Some((Key::of(&item)?, item))));
            // Items beyond 16 MB or the partition's capacity are left for another call.
            wanted = answer.unprocessed_keys.into_iter().flatten().flat_map(|(_, rest)| rest.keys).collect();
            if wanted.is_empty() {
                return Ok(found);
            }
            tokio::time::sleep(pauses.next().ok_or(Error::Busy(None))?).await;
        }
    }

    /// Pages through a whole partition.
    pub fn pages(&self, pk: impl Into<String>) -> Pages<'_> {
        Pages { table: self, pk: pk.into(), range: None, backward: false, limit: None, next: Next::Start }
    }

    /// Pages through what a partition holds under a prefix such as `MEMBER#`.
    pub fn pages_under(&self, pk: impl Into<String>, prefix: &str) -> Pages<'_> {
        // U+10FFFF is the last of all in UTF-8's byte order, by which DynamoDB sorts strings.
        self.pages(pk).between(prefix, format!("{prefix}\u{10FFFF}"))
    }

    /// All items of all partitions that have this sort key, each read as a `T`. This reads the whole table, which no request may
    /// wait for.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not a `T`.
    pub(crate) async fn scan<T: DeserializeOwned>(&self, sk: &str) -> Result<Vec<T>> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true).filter_expression("sk = :sk");
        let mut pages =
            scan.expression_attribute_values(":sk", AttributeValue::S(sk.to_owned())).into_paginator().send();
        let mut all = Vec::new();
        while let Some(page) = pages.try_next().await? {
            for item in page.items().iter().filter(|item| is_fresh(item)) {
                all.push(read(item)?);
            }
        }
        Ok(all)
    }

    /// Puts and deletes items, whatever is in their places, in one round trip for each 25; not all or none, and in no order. It
    /// waits while DynamoDB has no more capacity, for half a minute at most.
    ///
    /// # Errors
    /// When DynamoDB fails, or a write has a condition or is an update, which cannot be done like this.
    pub(crate) async fn write_many(&self, writes: Vec<Write>) -> Result<()> {
        let requests = writes.into_iter().map(batch_request).collect::<Result<Vec<_>>>()?;
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
            tokio::time::sleep(pauses.next().ok_or(Error::Busy(cause))?).await;
        }
    }

    /// Applies one write by itself. If a transaction is at work on the item, DynamoDB refuses rather than waits
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>); then this does.
    ///
    /// # Errors
    /// When DynamoDB fails, or the item stays in use.
    pub async fn apply(&self, write: Write) -> Result<Applied> {
        let mut pauses = conflict_pauses();
        loop {
            match self.apply_once(write.clone()).await {
                Err(Error::Busy(Some(cause))) if is_conflict(&cause) => {
                    tokio::time::sleep(pauses.next().ok_or(Error::Busy(Some(cause)))?).await;
                }
                ended => return ended,
            }
        }
    }

    async fn apply_once(&self, write: Write) -> Result<Applied> {
        metrics::called_dynamodb();
        let (names, values) = (write.names(), write.values());
        let on_failure = ReturnValuesOnConditionCheckFailure::AllOld;
        match write.kind {
            Kind::Put(item) => {
                let sent = self
                    .client
                    .put_item()
                    .table_name(&self.name)
                    .set_item(Some(item))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(on_failure)
                    .send()
                    .await;
                refused_or(sent.map(|_| None), |error| match error {
                    PutItemError::ConditionalCheckFailedException(refusal) => Some(refusal.item.clone()),
                    _ => None,
                })
            }
            Kind::Update(expression) => {
                let sent = self
                    .client
                    .update_item()
                    .table_name(&self.name)
                    .set_key(Some(write.key.attributes()))
                    .update_expression(expression)
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values(ReturnValue::AllNew)
                    .return_values_on_condition_check_failure(on_failure)
                    .send()
                    .await;
                refused_or(sent.map(|answer| answer.attributes), |error| match error {
                    UpdateItemError::ConditionalCheckFailedException(refusal) => Some(refusal.item.clone()),
                    _ => None,
                })
            }
            Kind::Delete => {
                let sent = self
                    .client
                    .delete_item()
                    .table_name(&self.name)
                    .set_key(Some(write.key.attributes()))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values(ReturnValue::AllOld)
                    .return_values_on_condition_check_failure(on_failure)
                    .send()
                    .await;
                refused_or(sent.map(|answer| answer.attributes), |error| match error {
                    DeleteItemError::ConditionalCheckFailedException(refusal) => Some(refusal.item.clone()),
                    _ => None,
                })
            }
            Kind::Check => Err(Error::internal("a check alone writes nothing")),
        }
    }

    /// Applies several writes, all or none, and waits for other transactions that are at work on the same items.
    ///
    /// # Errors
    /// The error of the first write whose condition does not hold ([`Write::otherwise`]); when DynamoDB fails, or the items stay in use.
    pub async fn transact(&self, writes: Vec<Write>) -> Result<()> {
        let mut pauses = conflict_pauses();
        loop {
            let Transacted::Refused(reasons) = self.transact_once(writes.clone()).await? else { return Ok(()) };
            for reason in reasons {
                if let Reason::Condition(failed) = reason {
                    return Err(failed.error());
                }
            }
            metrics::count(Metric::TransactionRetries, 1);
            tokio::time::sleep(pauses.next().ok_or(Error::Busy(None))?).await;
        }
    }

    /// The same without waiting. The SDK gives each call a token, so its retries are idempotent.
    ///
    /// # Errors
    /// When DynamoDB fails for another reason than the writes' conditions.
    pub(crate) async fn transact_once(&self, writes: Vec<Write>) -> Result<Transacted> {
        let meanings: Vec<Option<Otherwise>> = writes.iter().map(|write| write.otherwise.clone()).collect();
        let items = writes.into_iter().map(|write| self.transaction_item(write)).collect::<Result<Vec<_>>>()?;
        metrics::called_dynamodb();
        match self.client.transact_write_items().set_transact_items(Some(items)).send().await {
            Ok(_) => Ok(Transacted::Done),
            Err(SdkError::ServiceError(error))
                if matches!(error.err(), TransactWriteItemsError::TransactionCanceledException(_)) =>
            {
                let TransactWriteItemsError::TransactionCanceledException(cancelled) = error.into_err() else {
                    return Err(Error::internal("a cancelled transaction without reasons"));
                };
                reasons(cancelled.cancellation_reasons.unwrap_or_default(), meanings)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn transaction_item(&self, write: Write) -> Result<TransactWriteItem> {
        let (names, values) = (write.names(), write.values());
        let on_failure = ReturnValuesOnConditionCheckFailure::AllOld;
        let item = TransactWriteItem::builder();
        Ok(match write.kind {
            Kind::Put(attributes) => item.put(
                Put::builder()
                    .table_name(&self.name)
                    .set_item(Some(attributes))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(on_failure)
                    .build()?,
            ),
            Kind::Update(expression) => item.update(
                Update::builder()
                    .table_name(&self.name)
                    .set_key(Some(write.key.attributes()))
                    .update_expression(expression)
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(on_failure)
                    .build()?,
            ),
            Kind::Delete => item.delete(
                Delete::builder()
                    .table_name(&self.name)
                    .set_key(Some(write.key.attributes()))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(on_failure)
                    .build()?,
            ),
            Kind::Check => item.condition_check(
                ConditionCheck::builder()
                    .table_name(&self.name)
                    .set_key(Some(write.key.attributes()))
                    .set_condition_expression(write.condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(on_failure)
                    .build()?,
            ),
        }
        .build())
    }
}

fn batch_request(write: Write) -> Result<WriteRequest> {
    let request = WriteRequest::builder();
    Ok(match write {
        Write { kind: Kind::Put(item), condition: None, .. } => {
            request.put_request(PutRequest::builder().set_item(Some(item)).build()?)
        }
        Write { kind: Kind::Delete, key, condition: None, .. } => {
            request.delete_request(DeleteRequest::builder().set_key(Some(key.attributes())).build()?)
        }
        _ => return Err(Error::internal("a batch has puts and deletions without conditions")),
    }
    .build())
}

fn conflict_pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new().with_min_delay(Duration::from_millis(10)).with_max_times(7).with_jitter().build()
}

fn is_conflict(cause: &crate::error::Cause) -> bool {
    let is_one = |error: &(dyn std::error::Error + 'static)| error.to_string().contains("TransactionConflictException");
    std::iter::successors(Some(cause.as_ref() as &(dyn std::error::Error + 'static)), |error| error.source())
        .any(is_one)
}

/// Tells a condition that did not hold from a failure.
fn refused_or<E>(
    sent: std::result::Result<Option<Item>, SdkError<E>>,
    refusal: impl Fn(&E) -> Option<Option<Item>>,
) -> Result<Applied>
where
    Error: From<SdkError<E>>,
{
    match sent {
        Ok(item) => Ok(Applied::Done(item)),
        Err(error) => match error.as_service_error().and_then(refusal) {
            Some(item) => Ok(Applied::ConditionFailed(item)),
            None => Err(error.into()),
        },
    }
}

fn reasons(cancelled: Vec<CancellationReason>, meanings: Vec<Option<Otherwise>>) -> Result<Transacted> {
    let reasons = cancelled.into_iter().zip(meanings).map(|(reason, otherwise)| match reason.code.as_deref() {
        None | Some("None") => Ok(Reason::None),
        Some("ConditionalCheckFailed") => Ok(Reason::Condition(ConditionFailed { item: reason.item, otherwise })),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => Ok(Reason::Conflict),
        Some(code) => Err(Error::internal(format!("{code}: {}", reason.message.as_deref().unwrap_or_default()))),
    });
    Ok(Transacted::Refused(reasons.collect::<Result<_>>()?))
}

fn is_fresh(item: &Item) -> bool {
    let expires_at = item.get("expires_at").and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
    expires_at.is_none_or(|expires_at| expires_at >= Date::now().epoch_seconds())
}

/// A walk through a partition, a page (at most 1 MB) at a time.
#[derive(Debug)]
pub struct Pages<'a> {
    table: &'a Table,
    pk: String,
    range: Option<(String, String)>,
    backward: bool,
    limit: Option<i32>,
    next: Next,
}

#[derive(Debug)]
enum Next {
    Start,
    After(Item),
    End,
}

impl Pages<'_> {
    /// Only from `first` to `last`, both included. Neither may be empty: DynamoDB takes no empty text for a key.
    pub fn between(mut self, first: impl Into<String>, last: impl Into<String>) -> Self {
        self.range = Some((first.into(), last.into()));
        self
    }

    /// From the last to the first.
    pub fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// At most so many items a page.
    pub fn limit(mut self, items: usize) -> Self {
        self.limit = Some(i32::try_from(items).unwrap_or(i32::MAX));
        self
    }

    /// The next page, which may be empty; nothing after the last.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub async fn next(&mut self) -> Result<Option<Vec<Item>>> {
        let start = match std::mem::replace(&mut self.next, Next::End) {
            Next::Start => None,
            Next::After(key) => Some(key),
            Next::End => return Ok(None),
        };
        let mut condition = "pk = :pk".to_owned();
        let mut values = HashMap::from([(":pk".to_owned(), AttributeValue::S(self.pk.clone()))]);
        if let Some((first, last)) = &self.range {
            if first > last {
                return Ok(None);
            }
            condition.push_str(" AND sk BETWEEN :first AND :last");
            values.insert(":first".to_owned(), AttributeValue::S(first.clone()));
            values.insert(":last".to_owned(), AttributeValue::S(last.clone()));
        }
        metrics::called_dynamodb();
        let answer = self
            .table
            .client
            .query()
            .table_name(&self.table.name)
            .consistent_read(true)
            .key_condition_expression(condition)
            .set_expression_attribute_values(Some(values))
            .scan_index_forward(!self.backward)
            .set_limit(self.limit)
            .set_exclusive_start_key(start)
            .send()
            .await?;
        if let Some(key) = answer.last_evaluated_key {
            self.next = Next::After(key);
        }
        Ok(Some(answer.items.unwrap_or_default().into_iter().filter(is_fresh).collect()))
    }

    /// All that is left, page after page, each item read as a `T`.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not a `T`.
    pub async fn all<T: DeserializeOwned>(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            for item in &page {
                all.push(read(item)?);
            }
        }
        Ok(all)
    }
}
