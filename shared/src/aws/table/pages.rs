//! Queries: the items of a partition in the order of their sort keys, a page at a time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde::de::DeserializeOwned;

use super::client::{Item, Table, is_fresh, read};
use crate::{Result, metrics};

/// A query of a partition, a page (at most 1 MB) at a time.
#[derive(Debug)]
pub(crate) struct Pages<'a> {
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

impl Table {
    /// Queries a whole partition.
    pub(crate) fn pages(&self, pk: String) -> Pages<'_> {
        Pages { table: self, pk, range: None, backward: false, limit: None, next: Next::Start }
    }

    /// Queries what a partition holds under a prefix such as `MEMBER#`.
    pub(crate) fn pages_under(&self, pk: String, prefix: &str) -> Pages<'_> {
        // U+10FFFF is the last of all in UTF-8's byte order, by which DynamoDB sorts strings.
        self.pages(pk).between(prefix, format!("{prefix}\u{10FFFF}"))
    }
}

impl Pages<'_> {
    /// Only from `first` to `last`, both included. Neither may be empty, since DynamoDB's keys may not be.
    pub(crate) fn between(mut self, first: impl Into<String>, last: impl Into<String>) -> Self {
        self.range = Some((first.into(), last.into()));
        self
    }

    /// From the last to the first.
    pub(crate) fn backward(mut self) -> Self {
        self.backward = true;
        self
    }

    /// At most this many items a page.
    pub(crate) fn limit(mut self, items: usize) -> Self {
        self.limit = Some(i32::try_from(items).unwrap_or(i32::MAX));
        self
    }

    /// The next page, which may be empty; nothing after the last.
    ///
    /// # Errors
    /// When DynamoDB fails.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Item>>> {
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
        let query = self.table.client.query().table_name(&self.table.name).consistent_read(true);
        let answer = query
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

    /// The items that are left, page after page, each read as a `T`.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not a `T`.
    pub(crate) async fn all<T: DeserializeOwned>(self) -> Result<Vec<T>> {
        self.up_to(usize::MAX).await
    }

    /// The items that are left, until there are at least `enough` of them.
    ///
    /// # Errors
    /// When DynamoDB fails or an item is not a `T`.
    pub(crate) async fn up_to<T: DeserializeOwned>(mut self, enough: usize) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while items.len() < enough
            && let Some(page) = self.next().await?
        {
            for item in page {
                items.push(read(item)?);
            }
        }
        Ok(items)
    }
}
