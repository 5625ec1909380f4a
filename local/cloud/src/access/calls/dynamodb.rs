//! Requests to DynamoDB
//! (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>).

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde_json::Value;

use super::{attributes, tables::Tables};
use crate::{
    access::policy::{
        ATTRIBUTES, Call, Context, ENCLOSING_OPERATION, LEADING_KEYS, RETURN_CONSUMED_CAPACITY, RETURN_VALUES, SELECT,
    },
    description::arn,
};

/// What a request asks for.
pub(super) fn calls(operation: &str, body: &Value, tables: &Tables) -> Vec<Call> {
    let action = format!("dynamodb:{operation}");
    match operation {
        "BatchGetItem" | "BatchWriteItem" => batch(&action, body, tables),
        "TransactGetItems" | "TransactWriteItems" => transaction(operation, body, tables),
        // The actions depend on the statements, and the keys on their text
        // (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html). Here PartiQL needs an unlimited
        // permission for DynamoDB.
        "ExecuteStatement" | "BatchExecuteStatement" | "ExecuteTransaction" => {
            vec![Call::new("dynamodb:PartiQL", table_arn("*"), Context::new())]
        }
        "ListTables" => vec![Call::new(action, table_arn("*"), Context::new())],
        "ListStreams" => vec![Call::new(action, table_arn("*/stream/*"), Context::new())],
        "DescribeStream" | "GetShardIterator" => vec![Call::new(action, text(body, "StreamArn"), Context::new())],
        "GetRecords" => {
            vec![Call::new(action, table_arn(&format!("{}/stream/latest", read_table(body))), Context::new())]
        }
        "ListTagsOfResource" | "TagResource" | "UntagResource" => {
            vec![Call::new(action, text(body, "ResourceArn"), Context::new())]
        }
        _ => vec![on_table(&action, body, tables)],
    }
}

/// A request about one table, or one of its indexes.
fn on_table(action: &str, body: &Value, tables: &Tables) -> Call {
    let table = name_of(&text(body, "TableName")).to_owned();
    let index = body["IndexName"].as_str();
    let resource = table_arn(&index.map_or_else(|| table.clone(), |index| format!("{table}/index/{index}")));
    let keys = tables.partition_key(&table, index).and_then(|name| key(action, body, name)).into_iter().collect();
    let mut context = Context::from([(LEADING_KEYS, keys), (ATTRIBUTES, attributes::named(body))]);
    let parameters =
        [(SELECT, "Select"), (RETURN_VALUES, "ReturnValues"), (RETURN_CONSUMED_CAPACITY, "ReturnConsumedCapacity")];
    for (name, member) in parameters {
        if let Some(value) = body[member].as_str() {
            context.insert(name, vec![value.to_owned()]);
        }
    }
    Call::new(action, resource, context)
}

/// One call for each table of a batch, with all keys of that table.
fn batch(action: &str, body: &Value, tables: &Tables) -> Vec<Call> {
    let requested = body["RequestItems"].as_object().into_iter().flatten();
    requested
        .map(|(table, requests)| {
            let table = name_of(table);
            let name = tables.partition_key(table, None).unwrap_or_default();
            let gets = requests["Keys"].as_array().into_iter().flatten();
            let writes = requests.as_array().into_iter().flatten();
            let writes = writes.map(|write| {
                let item = &write["PutRequest"]["Item"];
                if item.is_null() { &write["DeleteRequest"]["Key"] } else { item }
            });
            let items: Vec<&Value> = gets.chain(writes).collect();
            let keys: BTreeSet<String> = items.iter().filter_map(|item| scalar(&item[name])).collect();
            let mut named: BTreeSet<String> = items.iter().flat_map(|item| attributes::members(item)).collect();
            named.extend(attributes::named(requests));
            let context = [(LEADING_KEYS, keys), (ATTRIBUTES, named)];
            let context = context.map(|(name, values)| (name, values.into_iter().collect()));
            Call::new(action, table_arn(table), Context::from(context))
        })
        .collect()
}

/// The members of a transaction, each under three readings.
///
/// Each member is authorized by its own action
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>). AWS does not document
/// which leading keys that member has: its own, none, or those of all members. So it must be allowed with any of these.
fn transaction(operation: &str, body: &Value, tables: &Tables) -> Vec<Call> {
    let members = body["TransactItems"].as_array().into_iter().flatten();
    let members: Vec<Call> = members
        .filter_map(|member| {
            let (kind, request) = member.as_object()?.iter().next()?;
            let action = if kind == "ConditionCheck" { "ConditionCheckItem" } else { &format!("{kind}Item") };
            let mut call = on_table(&format!("dynamodb:{action}"), request, tables);
            call.context.insert(ENCLOSING_OPERATION, vec![operation.to_owned()]);
            Some(call)
        })
        .collect();
    let keys = |call: &Call| call.context.get(LEADING_KEYS).cloned().unwrap_or_default();
    let all: BTreeSet<String> = members.iter().flat_map(keys).collect();
    let all = Vec::from_iter(all);
    let readings = |member: &Call| {
        [keys(member), Vec::new(), all.clone()].map(|keys| {
            let mut call = member.clone();
            call.context.insert(LEADING_KEYS, keys);
            call
        })
    };
    members.iter().flat_map(readings).collect()
}

/// The partition key of a request about one item or one partition; others, such as a scan, have none.
fn key(action: &str, body: &Value, name: &str) -> Option<String> {
    match action {
        "dynamodb:PutItem" => scalar(&body["Item"][name]),
        "dynamodb:GetItem" | "dynamodb:UpdateItem" | "dynamodb:DeleteItem" | "dynamodb:ConditionCheckItem" => {
            scalar(&body["Key"][name])
        }
        "dynamodb:Query" => match condition_value(body, name) {
            Some(placeholder) => scalar(&body["ExpressionAttributeValues"][placeholder]),
            None => scalar(&body["KeyConditions"][name]["AttributeValueList"][0]),
        },
        _ => None,
    }
}

/// The placeholder of the value that a key condition compares the partition key with.
fn condition_value<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    static EQUALS: LazyLock<Regex> = LazyLock::new(|| {
        // The operator of a partition key is always `=`, and never part of `<=` or `>=` between these.
        Regex::new(r"(#?[\w.]+)\s*=\s*(:\w+)|(:\w+)\s*=\s*(#?[\w.]+)").expect("it is a regular expression")
    });
    let expression = body["KeyConditionExpression"].as_str()?;
    EQUALS.captures_iter(expression).find_map(|found| {
        let attribute = found.get(1).or_else(|| found.get(4))?.as_str();
        let value = found.get(2).or_else(|| found.get(3))?.as_str();
        (attributes::resolved(body, attribute) == name).then_some(value)
    })
}

/// A key's value as text. Keys are strings, numbers, or bytes in base64.
fn scalar(value: &Value) -> Option<String> {
    ["S", "N", "B"].into_iter().find_map(|kind| value[kind].as_str().map(str::to_owned))
}

/// The table of a shard iterator.
fn read_table(body: &Value) -> String {
    let iterator = body["ShardIterator"].as_str().unwrap_or_default();
    let table = dynoxide::actions::get_shard_iterator::decode_shard_iterator(iterator).map(|(table, ..)| table);
    table.unwrap_or_else(|| "*".to_owned())
}

fn text(body: &Value, name: &str) -> String {
    body[name].as_str().unwrap_or_default().to_owned()
}

/// The name of a table, which requests may name by its ARN.
fn name_of(table: &str) -> &str {
    table.rsplit_once(":table/").map_or(table, |(_, name)| name)
}

fn table_arn(rest: &str) -> String {
    arn("dynamodb", &format!("table/{rest}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::description::Table;

    fn tables() -> Tables {
        let key = |name| json!([{ "AttributeName": "range", "KeyType": "RANGE" }, { "AttributeName": name, "KeyType": "HASH" }]);
        let index = json!([{ "IndexName": "by-owner", "KeySchema": key("owner") }]);
        let creation = json!({ "KeySchema": key("id"), "GlobalSecondaryIndexes": index });
        Tables::of(&[Table { creation, name: "things".to_owned(), expires_by: None }])
    }

    /// The action, the resource behind `table/`, and the leading keys of each call.
    fn read(operation: &str, body: Value) -> Vec<(String, String, Vec<String>)> {
        let calls = calls(operation, &body, &tables()).into_iter();
        let short = |resource: String| resource.replace(&table_arn(""), "");
        calls.map(|call| (call.action, short(call.resource), call.context[LEADING_KEYS].clone())).collect()
    }

    fn expect(action: &str, resource: &str, keys: &[&str]) -> (String, String, Vec<String>) {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        (format!("dynamodb:{action}"), resource.to_owned(), keys)
    }

    #[test]
    fn requests_about_one_item_have_its_key() {
        let item = json!({ "id": { "S": "a" }, "range": { "S": "b" } });
        for (operation, member) in
            [("GetItem", "Key"), ("PutItem", "Item"), ("UpdateItem", "Key"), ("DeleteItem", "Key")]
        {
            for table in ["things".to_owned(), table_arn("things")] {
                let body = json!({ "TableName": table, member: item });
                assert_eq!(read(operation, body), [expect(operation, "things", &["a"])]);
            }
        }
        // Members that an operation does not have count for nothing.
        let body = json!({ "TableName": "things", "Item": item, "Key": { "id": { "S": "other" } } });
        assert_eq!(read("PutItem", body.clone()), [expect("PutItem", "things", &["a"])]);
        assert_eq!(read("Scan", body), [expect("Scan", "things", &[])]);
    }

    #[test]
    fn queries_have_the_key_of_their_condition() {
        let query = |condition: &str, index: Value| {
            let values = json!({ ":v": { "N": "7" }, ":w": { "S": "x" } });
            let names = json!({ "#i": "id", "#o": "owner" });
            read(
                "Query",
                json!({
                    "TableName": "things", "IndexName": index, "KeyConditionExpression": condition,
                    "ExpressionAttributeValues": values, "ExpressionAttributeNames": names,
                }),
            )
        };
        for condition in [
            "id = :v",
            "#i=:v AND range <= :w",
            "range = :w AND id = :v",
            "(range BETWEEN :w AND :w) and (id = :v)",
            ":v = #i",
        ] {
            assert_eq!(query(condition, Value::Null), [expect("Query", "things", &["7"])], "{condition}");
        }
        assert_eq!(query("#o = :w", json!("by-owner")), [expect("Query", "things/index/by-owner", &["x"])]);
        let legacy = json!({ "id": { "ComparisonOperator": "EQ", "AttributeValueList": [{ "S": "a" }] } });
        let legacy = json!({ "TableName": "things", "KeyConditions": legacy });
        assert_eq!(read("Query", legacy), [expect("Query", "things", &["a"])]);
    }

    #[test]
    fn batches_have_the_keys_of_each_table() {
        let keys = json!([{ "id": { "S": "a" } }, { "id": { "S": "b" } }]);
        let body = json!({ "RequestItems": { "things": { "Keys": keys }, "other": { "Keys": keys } } });
        let expected = [expect("BatchGetItem", "other", &[]), expect("BatchGetItem", "things", &["a", "b"])];
        assert_eq!(read("BatchGetItem", body), expected);
        let writes = json!([{ "PutRequest": { "Item": { "id": { "S": "a" } } } }, { "DeleteRequest": { "Key": { "id": { "S": "b" } } } }]);
        let body = json!({ "RequestItems": { "things": writes } });
        assert_eq!(read("BatchWriteItem", body), [expect("BatchWriteItem", "things", &["a", "b"])]);
    }

    #[test]
    fn members_of_transactions_have_their_own_key_none_and_all() {
        let of = |member: &str, key: &str| json!({ "TableName": "things", member: { "id": { "S": key } } });
        let items = json!([{ "Put": of("Item", "a") }, { "ConditionCheck": of("Key", "b") }]);
        let expected = [
            expect("PutItem", "things", &["a"]),
            expect("PutItem", "things", &[]),
            expect("PutItem", "things", &["a", "b"]),
            expect("ConditionCheckItem", "things", &["b"]),
            expect("ConditionCheckItem", "things", &[]),
            expect("ConditionCheckItem", "things", &["a", "b"]),
        ];
        let body = json!({ "TransactItems": items });
        assert_eq!(read("TransactWriteItems", body.clone()), expected);
        let calls = calls("TransactWriteItems", &body, &tables());
        assert!(calls.iter().all(|call| call.context[ENCLOSING_OPERATION] == ["TransactWriteItems"]));
    }

    #[test]
    fn streams_and_tables_are_named() {
        let resource = |operation, body| calls(operation, &body, &tables())[0].resource.replace(&table_arn(""), "");
        let iterator = dynoxide::actions::get_shard_iterator::encode_shard_iterator("things", "1", 1);
        assert_eq!(resource("GetRecords", json!({ "ShardIterator": iterator })), "things/stream/latest");
        let stream = table_arn("things/stream/latest");
        assert_eq!(resource("DescribeStream", json!({ "StreamArn": stream })), "things/stream/latest");
        assert_eq!(resource("ListTables", json!({})), "*");
    }
}
