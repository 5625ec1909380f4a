//! The attributes that a request to DynamoDB names, for the condition key `dynamodb:Attributes`.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::Value;

/// The members whose names are attributes.
const OBJECTS: [&str; 7] =
    ["Key", "Item", "Expected", "AttributeUpdates", "KeyConditions", "QueryFilter", "ScanFilter"];
const EXPRESSIONS: [&str; 5] =
    ["ProjectionExpression", "ConditionExpression", "UpdateExpression", "FilterExpression", "KeyConditionExpression"];
/// The words of expressions, which cannot be attributes (all are reserved words of DynamoDB).
const KEYWORDS: [&str; 9] = ["SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"];

/// The top-level attributes that a request names.
pub(super) fn named(body: &Value) -> Vec<String> {
    let mut named: BTreeSet<String> = OBJECTS.into_iter().flat_map(|name| members(&body[name])).collect();
    let listed = body["AttributesToGet"].as_array().into_iter().flatten();
    named.extend(listed.filter_map(Value::as_str).map(str::to_owned));
    for expression in EXPRESSIONS.into_iter().filter_map(|name| body[name].as_str()) {
        named.extend(in_expression(expression).map(|name| resolved(body, name).to_owned()));
    }
    Vec::from_iter(named)
}

pub(super) fn members(value: &Value) -> impl Iterator<Item = String> + '_ {
    value.as_object().into_iter().flat_map(|members| members.keys().cloned())
}

/// The name that a placeholder such as `#name` stands for, or the name itself.
pub(super) fn resolved<'a>(body: &'a Value, name: &'a str) -> &'a str {
    body["ExpressionAttributeNames"][name].as_str().unwrap_or(name)
}

/// Names at the start of paths: no values (`:value`), nested names (`.name`), functions (`name(`) or keywords.
fn in_expression(expression: &str) -> impl Iterator<Item = &str> {
    static WORDS: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"([:.]?)(#?\w+)\s*(\()?").expect("it is a regular expression"));
    WORDS.captures_iter(expression).filter_map(|found| {
        let name = found.get(2)?.as_str();
        let is_keyword = KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
        let is_path = found.get(1)?.is_empty() && (found.get(3).is_none() || is_keyword);
        let is_index = name.starts_with(|first: char| first.is_ascii_digit());
        (is_path && !is_keyword && !is_index).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_are_found_in_all_parts_of_a_request() {
        let body = json!({
            "Key": { "id": { "S": "x" } },
            "AttributesToGet": ["listed"],
            "ConditionExpression": "attribute_exists(a) AND (b.c = :v OR NOT contains(list[2].d, :w)) AND size (#n) > :x",
            "UpdateExpression": "SET e = if_not_exists(f, :v) + :w REMOVE g ADD h :i",
            "ExpressionAttributeNames": { "#n": "named" },
        });
        assert_eq!(named(&body), ["a", "b", "e", "f", "g", "h", "id", "list", "listed", "named"]);
    }
}
