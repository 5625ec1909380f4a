//! The partition keys of the template's tables.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::description::Table;

/// The names of the partition keys of tables and their indexes.
#[derive(Debug, Default)]
pub(crate) struct Tables(BTreeMap<(String, Option<String>), String>);

impl Tables {
    pub(crate) fn of(tables: &[Table]) -> Self {
        let mut keys = BTreeMap::new();
        for Table { name, creation, .. } in tables {
            let mut add = |index: Option<&str>, owner: &Value| {
                let key = owner["KeySchema"].as_array().into_iter().flatten().find(|key| key["KeyType"] == "HASH");
                if let Some(key) = key.and_then(|key| key["AttributeName"].as_str()) {
                    keys.insert((name.clone(), index.map(str::to_owned)), key.to_owned());
                }
            };
            add(None, creation);
            for kind in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
                for index in creation[kind].as_array().into_iter().flatten() {
                    add(index["IndexName"].as_str(), index);
                }
            }
        }
        Self(keys)
    }

    /// The name of the partition key of a table, or of one of its indexes.
    pub(super) fn partition_key(&self, table: &str, index: Option<&str>) -> Option<&str> {
        self.0.get(&(table.to_owned(), index.map(str::to_owned))).map(String::as_str)
    }
}
