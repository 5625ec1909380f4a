//! Single writes, each with a condition and the error that a failed condition means.

use std::{collections::HashMap, fmt, iter::successors, sync::Arc};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError},
    types::{
        AttributeValue, ConditionCheck, Delete, DeleteRequest, Put, PutRequest, ReturnValue,
        ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update, WriteRequest,
    },
};
use serde::Serialize;
use serde_dynamo::aws_sdk_dynamodb_1::{to_attribute_value, to_item};

use super::client::{Item, Table, contention_pauses, pause};
use crate::{Error, Result, date::Date, error::Cause, key::Key, metrics};

/// A failed condition returns the item that it was evaluated on.
const ON_FAILURE: ReturnValuesOnConditionCheckFailure = ReturnValuesOnConditionCheckFailure::AllOld;

/// One write, to be applied alone or in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    key: Key,
    kind: Kind,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: Item,
    pub(super) otherwise: Otherwise,
}

#[derive(Clone, Debug)]
enum Kind {
    Put(Item),
    Update(String),
    Delete,
    Check,
}

/// The error that a failed condition means, made of the item that it was evaluated on.
#[derive(Clone, Default)]
pub(super) struct Otherwise(Option<Arc<Meaning>>);

type Meaning = dyn Fn(Option<Item>) -> Error + Send + Sync;

impl Otherwise {
    pub(super) fn error(&self, item: Option<Item>) -> Error {
        match &self.0 {
            Some(error) => error(item),
            None => Error::internal("a condition failed that carries no error"),
        }
    }
}

impl fmt::Debug for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otherwise")
    }
}

/// How a conditional write ended.
#[derive(Debug)]
pub(crate) enum Applied {
    /// It was done. An update returns the item as it is now, a deletion the item as it was.
    Done(Option<Item>),
    /// Its condition failed, on this item.
    ConditionFailed(Option<Item>),
}

impl Write {
    fn new(key: Key, kind: Kind) -> Self {
        Self {
            key,
            kind,
            condition: None,
            names: HashMap::new(),
            values: HashMap::new(),
            otherwise: Otherwise::default(),
        }
    }

    /// Puts a whole item.
    ///
    /// # Errors
    /// When the item cannot be written as DynamoDB attributes.
    pub(crate) fn put(key: Key, item: &impl Serialize) -> Result<Self> {
        let mut item: Item = to_item(item)?;
        item.extend(Item::from(key.clone()));
        Ok(Self::new(key, Kind::Put(item)))
    }

    /// Changes an item by an update expression.
    pub(crate) fn update(key: Key, expression: &str) -> Self {
        Self::new(key, Kind::Update(expression.to_owned()))
    }

    /// Deletes an item.
    pub(crate) fn delete(key: Key) -> Self {
        Self::new(key, Kind::Delete)
    }

    /// Writes nothing, and lets a transaction pass only if `condition` holds of the item.
    pub(crate) fn check(key: Key, condition: &str) -> Self {
        Self::new(key, Kind::Check).when(condition)
    }

    /// Only if `condition` holds.
    pub(crate) fn when(mut self, condition: &str) -> Self {
        self.condition = Some(condition.to_owned());
        self
    }

    /// Only if there is no such item, or one that has expired and that DynamoDB has yet to delete.
    pub(crate) fn if_absent(self) -> Self {
        let now = Date::now().epoch_seconds();
        self.when("attribute_not_exists(pk) OR expires_at < :now").number(":now", now)
    }

    /// Only if there is such an item.
    pub(crate) fn if_present(self) -> Self {
        self.when("attribute_exists(pk)")
    }

    /// The error that a failed condition means: [`Table::apply`] and [`Table::transact`] return it.
    pub(crate) fn otherwise(self, error: impl Fn(Option<Item>) -> Error + Send + Sync + 'static) -> Self {
        Self { otherwise: Otherwise(Some(Arc::new(error))), ..self }
    }

    /// Lets a name stand for an attribute whose own is one of DynamoDB's reserved words.
    pub(crate) fn name(mut self, name: &str, attribute: &str) -> Self {
        self.names.insert(name.to_owned(), attribute.to_owned());
        self
    }

    /// Gives a value to a name in the expressions.
    pub(crate) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// Gives a number to a name in the expressions.
    pub(crate) fn number(self, name: &str, number: impl ToString) -> Self {
        self.value(name, AttributeValue::N(number.to_string()))
    }

    /// Gives a set of numbers to a name in the expressions.
    pub(crate) fn numbers<T: ToString>(self, name: &str, numbers: impl IntoIterator<Item = T>) -> Self {
        self.value(name, AttributeValue::Ns(numbers.into_iter().map(|number| number.to_string()).collect()))
    }

    /// Gives a text to a name in the expressions.
    pub(crate) fn text(self, name: &str, text: impl Into<String>) -> Self {
        self.value(name, AttributeValue::S(text.into()))
    }

    /// Gives a set of texts to a name in the expressions.
    pub(crate) fn texts<T: ToString>(self, name: &str, texts: impl IntoIterator<Item = T>) -> Self {
        self.value(name, AttributeValue::Ss(texts.into_iter().map(|text| text.to_string()).collect()))
    }

    /// Gives any serializable value to a name in the expressions.
    ///
    /// # Errors
    /// When the value cannot be written as a DynamoDB attribute.
    pub(crate) fn serialized(self, name: &str, value: &impl Serialize) -> Result<Self> {
        Ok(self.value(name, to_attribute_value(value)?))
    }

    /// The write as a part of a transaction.
    pub(super) fn into_transaction_item(self, table: &str) -> Result<TransactWriteItem> {
        let Self { key, kind, condition, names, values, .. } = self;
        let (names, values) = (some(names), some(values));
        let item = TransactWriteItem::builder();
        Ok(match kind {
            Kind::Put(attributes) => item.put(
                Put::builder()
                    .table_name(table)
                    .set_item(Some(attributes))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(ON_FAILURE)
                    .build()?,
            ),
            Kind::Update(expression) => item.update(
                Update::builder()
                    .table_name(table)
                    .set_key(Some(key.into()))
                    .update_expression(expression)
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(ON_FAILURE)
                    .build()?,
            ),
            Kind::Delete => item.delete(
                Delete::builder()
                    .table_name(table)
                    .set_key(Some(key.into()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(ON_FAILURE)
                    .build()?,
            ),
            Kind::Check => item.condition_check(
                ConditionCheck::builder()
                    .table_name(table)
                    .set_key(Some(key.into()))
                    .set_condition_expression(condition)
                    .set_expression_attribute_names(names)
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(ON_FAILURE)
                    .build()?,
            ),
        }
        .build())
    }

    /// The write as a part of a batch.
    pub(super) fn into_batch_request(self) -> Result<WriteRequest> {
        let request = WriteRequest::builder();
        Ok(match self {
            Self { kind: Kind::Put(item), condition: None, .. } => {
                request.put_request(PutRequest::builder().set_item(Some(item)).build()?)
            }
            Self { kind: Kind::Delete, key, condition: None, .. } => {
                request.delete_request(DeleteRequest::builder().set_key(Some(key.into())).build()?)
            }
            _ => return Err(Error::internal("a batch has unconditional puts and deletions only")),
        }
        .build())
    }
}

impl Table {
    /// Applies one write. An update returns the item as it is now, a deletion the item as it was.
    ///
    /// # Errors
    /// The error that a failed condition means ([`Write::otherwise`]); as [`Table::attempt`].
    pub(crate) async fn apply(&self, write: Write) -> Result<Option<Item>> {
        let otherwise = write.otherwise.clone();
        match self.attempt(write).await? {
            Applied::Done(item) => Ok(item),
            Applied::ConditionFailed(item) => Err(otherwise.error(item)),
        }
    }

    /// Applies one write whose condition may fail. While a transaction is at work on the item, DynamoDB rejects other
    /// writes (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html>); then this
    /// backs off and retries.
    ///
    /// # Errors
    /// When DynamoDB fails, or the item stays in use.
    pub(crate) async fn attempt(&self, write: Write) -> Result<Applied> {
        let mut pauses = contention_pauses();
        loop {
            match self.attempt_once(write.clone()).await {
                Err(Error::Busy(Some(cause))) if is_conflict(&cause) => pause(&mut pauses, Some(cause)).await?,
                ended => return ended,
            }
        }
    }

    async fn attempt_once(&self, write: Write) -> Result<Applied> {
        metrics::called_dynamodb();
        let Write { key, kind, condition, names, values, .. } = write;
        let (names, values) = (some(names), some(values));
        match kind {
            Kind::Put(item) => {
                let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
                let put = put.set_condition_expression(condition).set_expression_attribute_names(names);
                let put = put.set_expression_attribute_values(values);
                let sent = put.return_values_on_condition_check_failure(ON_FAILURE).send().await;
                applied(sent.map(|_| None), |error| match error {
                    PutItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
            Kind::Update(expression) => {
                let update = self.client.update_item().table_name(&self.name).set_key(Some(key.into()));
                let update = update.update_expression(expression).set_condition_expression(condition);
                let update = update.set_expression_attribute_names(names).set_expression_attribute_values(values);
                let update = update.return_values(ReturnValue::AllNew);
                let sent = update.return_values_on_condition_check_failure(ON_FAILURE).send().await;
                applied(sent.map(|answer| answer.attributes), |error| match error {
                    UpdateItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
            Kind::Delete => {
                let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key.into()));
                let delete = delete.set_condition_expression(condition).set_expression_attribute_names(names);
                let delete = delete.set_expression_attribute_values(values).return_values(ReturnValue::AllOld);
                let sent = delete.return_values_on_condition_check_failure(ON_FAILURE).send().await;
                applied(sent.map(|answer| answer.attributes), |error| match error {
                    DeleteItemError::ConditionalCheckFailedException(failed) => Some(failed.item.clone()),
                    _ => None,
                })
            }
            Kind::Check => Err(Error::internal("a check alone writes nothing")),
        }
    }
}

/// DynamoDB rejects empty maps of names and values.
fn some<K, V>(map: HashMap<K, V>) -> Option<HashMap<K, V>> {
    (!map.is_empty()).then_some(map)
}

/// Tells a failed condition from a failure.
fn applied<E>(
    sent: std::result::Result<Option<Item>, SdkError<E>>,
    failed: impl Fn(&E) -> Option<Option<Item>>,
) -> Result<Applied>
where
    Error: From<SdkError<E>>,
{
    match sent {
        Ok(item) => Ok(Applied::Done(item)),
        Err(error) => match error.as_service_error().and_then(failed) {
            Some(item) => Ok(Applied::ConditionFailed(item)),
            None => Err(error.into()),
        },
    }
}

fn is_conflict(cause: &Cause) -> bool {
    let is_one = |error: &(dyn std::error::Error + 'static)| error.to_string().contains("TransactionConflictException");
    successors(Some(cause.as_ref() as &(dyn std::error::Error + 'static)), |error| error.source()).any(is_one)
}
