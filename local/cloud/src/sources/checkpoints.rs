//! The positions of stream event sources, in a table beside the data, so that a source continues there after a restart.

use dynoxide::{Database, errors::DynoxideError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::description::StreamSource;

const TABLE: &str = "laptop-cloud-checkpoints";

/// Creates the table of checkpoints unless it exists.
pub(crate) fn prepare(database: &Database) -> Result<(), String> {
    let creation = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{ "AttributeName": "source", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "source", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    match database.create_table(typed(creation)?) {
        Ok(_) | Err(DynoxideError::ResourceInUseException(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The checkpoint of one source.
pub(super) struct Checkpoint {
    database: Database,
    source: String,
}

impl Checkpoint {
    pub(super) fn new(database: &Database, source: &StreamSource) -> Self {
        Self { database: database.clone(), source: format!("{} → {}", source.table, source.function) }
    }

    /// The sequence number of the last handled record.
    pub(super) fn read(&self) -> Result<Option<String>, String> {
        let request = json!({ "TableName": TABLE, "Key": { "source": { "S": self.source } } });
        let response = self.database.get_item(typed(request)?).map_err(|error| error.to_string())?;
        let response = serde_json::to_value(response).map_err(|error| error.to_string())?;
        Ok(response["Item"]["sequence_number"]["S"].as_str().map(str::to_owned))
    }

    pub(super) fn write(&self, sequence_number: &str) -> Result<(), String> {
        let item = json!({ "source": { "S": self.source }, "sequence_number": { "S": sequence_number } });
        let request = json!({ "TableName": TABLE, "Item": item });
        self.database.put_item(typed(request)?).map(drop).map_err(|error| error.to_string())
    }
}

/// A request in the engine's types.
pub(super) fn typed<T: DeserializeOwned>(request: Value) -> Result<T, String> {
    serde_json::from_value(request).map_err(|error| error.to_string())
}
