//! The items that a request to DynamoDB names, and how large they are.

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

/// The items of a request in its order. `None` if it is not valid, or names its items by an expression.
pub(super) fn named(database: &Database, operation: Operation, request: &Value) -> Option<Vec<NamedItem>> {
    let tables = || request["RequestItems"].as_object();
    match operation {
        Operation::Get | Operation::Put | Operation::Update | Operation::Delete => {
            Some(vec![one(database, request["TableName"].as_str()?, request)?])
        }
        Operation::TransactWrite | Operation::TransactGet => {
            let actions = request["TransactItems"].as_array()?.iter();
            let actions = actions.map(|action| action.as_object()?.values().find(|action| action.is_object()));
            actions.map(|action| one(database, action?["TableName"].as_str()?, action?)).collect()
        }
        Operation::BatchWrite => {
            let writes = tables()?
                .iter()
                .flat_map(|(table, writes)| writes.as_array().into_iter().flatten().map(move |write| (table, write)));
            let requests = writes.map(|(table, write)| Some((table, write.as_object()?.values().next()?)));
            requests.map(|request| request.and_then(|(table, request)| one(database, table, request))).collect()
        }
        Operation::BatchGet => {
            let keys = tables()?.iter().flat_map(|(table, read)| {
                let keys = read["Keys"].as_array().into_iter().flatten();
                keys.map(move |key| (table, json!({ "Key": key, "ConsistentRead": read["ConsistentRead"] })))
            });
            keys.map(|(table, read)| one(database, table, &read)).collect()
        }
        Operation::Query | Operation::Scan => None,
    }
}

/// The partition that these attributes of an item belong to.
pub(super) fn partition(database: &Database, table: &str, attributes: &Value) -> Option<ItemKey> {
    let mut key = key(database, table, attributes)?.0;
    key.sort = None;
    Some(key)
}

/// The item of one action.
fn one(database: &Database, table: &str, action: &Value) -> Option<NamedItem> {
    let attributes = if action["Item"].is_object() { &action["Item"] } else { &action["Key"] };
    let (key, names) = key(database, table, attributes)?;
    let stored = json!({ "TableName": table, "Key": names, "ConsistentRead": true });
    let stored = database.get_item(serde_json::from_value(stored).ok()?).ok()?.item;
    let stored = stored.as_ref().map_or(0, item_size);
    let size = match serde_json::from_value::<Item>(action["Item"].clone()) {
        Ok(item) => stored.max(item_size(&item)),
        // The size after an update is known only after it; the values in its expressions are the most that it adds.
        Err(_) => stored + values_size(&action["ExpressionAttributeValues"]),
    };
    Some(NamedItem { key, size, is_eventual: action["ConsistentRead"] != true })
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

/// The key among an item's attributes, also as a request writes it.
fn key(database: &Database, table: &str, attributes: &Value) -> Option<(ItemKey, Value)> {
    let table_metadata = database.get_table_metadata(table).ok()??;
    let schema: Vec<KeyElement> = serde_json::from_str(&table_metadata.key_schema).ok()?;
    let mut key = ItemKey { table: table.to_owned(), partition: String::new(), sort: None };
    let mut names = serde_json::Map::new();
    for KeyElement { attribute_name, key_type } in schema {
        let value = attributes.get(&attribute_name)?;
        let text = serde_json::from_value::<AttributeValue>(value.clone()).ok()?.to_key_string()?;
        names.insert(attribute_name, value.clone());
        match key_type.as_str() {
            "HASH" => key.partition = text,
            _ => key.sort = Some(text),
        }
    }
    Some((key, Value::Object(names)))
}
