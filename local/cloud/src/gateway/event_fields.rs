//! Fields that events of both APIs have.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};

/// Headers with names in lower case and values joined by commas. Bytes that are not UTF-8 become U+FFFD.
pub(super) fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    match joined(pairs) {
        Value::Object(joined) => joined,
        _ => Map::new(),
    }
}

/// Pairs as an object, the values of repeated names joined by commas.
pub(super) fn joined(pairs: impl IntoIterator<Item = (impl Into<String>, impl AsRef<str>)>) -> Value {
    let mut object: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in pairs {
        object
            .entry(name.into())
            .and_modify(|all| {
                all.push(',');
                all.push_str(value.as_ref());
            })
            .or_insert_with(|| value.as_ref().to_owned());
    }
    json!(object)
}
