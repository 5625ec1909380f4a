//! The items that a request to DynamoDB names, and how large they are.

use std::collections::HashMap;

use dynoxide::{
    Database,
    types::{AttributeValue, Item, item_size},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::operation::Operation;

/// The key of an item, as a request names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ItemKey {
    pub(super) table: String,
    pub(super) partition: String,
    sort: Option<String>,
}

/// An item that a request reads or writes.
pub(super) struct NamedItem {
    pub(super) key: ItemKey,
    /// How large it is, in bytes. A write costs the larger of the item before and after it.
    pub(super) size: usize,
    /// Whether the read is eventually consistent.
    pub(super) is_eventual: bool,
}

/// Reads the items of one request.
pub(super) struct Reader<'a> {
    database: &'a Database,
    /// Whether sizes are needed, which takes a read of each item.
    sizes: bool,
    schemas: HashMap<String, Vec<KeyElement>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(database: &'a Database, sizes: bool) -> Self {
        Self { database, sizes, schemas: HashMap::new() }
    }

    /// The items of a request in its order. `None` if it is not valid, or names its items by an expression.
    pub(super) fn named(&mut self, operation: Operation, request: &Value) -> Option<Vec<NamedItem>> {
        let tables = || request["RequestItems"].as_object();
        match operation {
            Operation::Get | Operation::Put | Operation::Update | Operation::Delete => {
                Some(vec![self.one(request["TableName"].as_str()?, request)?])
            }
            Operation::TransactWrite | Operation::TransactGet => {
                let actions = request["TransactItems"].as_array()?.iter();
                let actions = actions.map(|action| action.as_object()?.values().find(|action| action.is_object()));
                actions.map(|action| self.one(action?["TableName"].as_str()?, action?)).collect()
            }
            Operation::BatchWrite => {
                let writes = tables()?.iter().flat_map(|(table, writes)| {
                    writes.as_array().into_iter().flatten().map(move |write| (table, write))
                });
                let requests = writes.map(|(table, write)| Some((table, write.as_object()?.values().next()?)));
                requests.map(|request| request.and_then(|(table, request)| self.one(table, request))).collect()
            }
            Operation::BatchGet => {
                let keys = tables()?.iter().flat_map(|(table, read)| {
                    let keys = read["Keys"].as_array().into_iter().flatten();
                    keys.map(move |key| (table, json!({ "Key": key, "ConsistentRead": read["ConsistentRead"] })))
                });
                keys.map(|(table, read)| self.one(table, &read)).collect()
            }
            Operation::Query | Operation::Scan => None,
        }
    }

    /// The partition that these attributes of an item belong to.
    pub(super) fn partition(&mut self, table: &str, attributes: &Item) -> Option<ItemKey> {
        let mut key = self.key(table, |name| attributes.get(name).cloned())?.0;
        key.sort = None;
        Some(key)
    }

    /// The item of one action.
    fn one(&mut self, table: &str, action: &Value) -> Option<NamedItem> {
        let attributes = if action["Item"].is_object() { &action["Item"] } else { &action["Key"] };
        let (key, names) = self.key(table, |name| serde_json::from_value(attributes.get(name)?.clone()).ok())?;
        let size = if self.sizes { self.size(table, names, action)? } else { 0 };
        Some(NamedItem { key, size, is_eventual: action["ConsistentRead"] != true })
    }

    fn size(&self, table: &str, key: Item, action: &Value) -> Option<usize> {
        let request = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
        let stored = self.database.get_item(serde_json::from_value(request).ok()?).ok()?.item;
        let stored = stored.as_ref().map_or(0, item_size);
        Some(match serde_json::from_value::<Item>(action["Item"].clone()) {
            Ok(item) => stored.max(item_size(&item)),
            // The size after an update is known only after it; the values in its expressions are the most that it
            // adds.
            Err(_) => stored + values_size(&action["ExpressionAttributeValues"]),
        })
    }

    /// The key among an item's attributes, also as attributes.
    fn key(&mut self, table: &str, value: impl Fn(&str) -> Option<AttributeValue>) -> Option<(ItemKey, Item)> {
        if !self.schemas.contains_key(table) {
            let metadata = self.database.get_table_metadata(table).ok()??;
            self.schemas.insert(table.to_owned(), serde_json::from_str(&metadata.key_schema).ok()?);
        }
        let mut key = ItemKey { table: table.to_owned(), partition: String::new(), sort: None };
        let mut attributes = Item::new();
        for KeyElement { attribute_name, key_type } in self.schemas.get(table)? {
            let value = value(attribute_name)?;
            let text = value.to_key_string()?;
            attributes.insert(attribute_name.clone(), value);
            match key_type.as_str() {
                "HASH" => key.partition = text,
                _ => key.sort = Some(text),
            }
        }
        Some((key, attributes))
    }
}

fn values_size(values: &Value) -> usize {
    serde_json::from_value::<Item>(values.clone()).map_or(0, |values| values.values().map(AttributeValue::size).sum())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyElement {
    attribute_name: String,
    key_type: String,
}
