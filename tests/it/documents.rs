//! Checks every response and event in the tests against docs/openapi.yaml and docs/asyncapi.yaml.

use std::{collections::HashMap, path::Path, sync::LazyLock};

use jsonschema::{Draft, Validator};
use reqwest::{Method, StatusCode};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The responses of an operation: for each status a schema, or nothing if there is no body.
struct Operation {
    method: Method,
    path: Vec<String>,
    answers: HashMap<u16, Option<Validator>>,
}

static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| operations(&document("openapi.yaml")));
static MESSAGES: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| messages(&document("asyncapi.yaml")));

fn document(name: &str) -> Value {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)).unwrap();
    value(&Yaml::load_from_str(&text).unwrap()[0])
}

fn value(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(elements) => elements.iter().map(value).collect(),
        Yaml::Mapping(members) => {
            let name = |name: &Yaml<'_>| match value(name) {
                Value::String(name) => name,
                other => other.to_string(),
            };
            Value::Object(members.iter().map(|(key, member)| (name(key), value(member))).collect::<Map<_, _>>())
        }
        other => panic!("{other:?}"),
    }
}

fn validator(document: &Value, schema: &Value, draft: Draft) -> Validator {
    let schema = json!({"allOf": [schema], "components": document["components"]});
    jsonschema::options().with_draft(draft).should_validate_formats(true).build(&schema).unwrap()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(responses) = operation["responses"].as_object() else { continue };
            let answer = |(status, response): (&String, &Value)| {
                let content = resolved(document, response)["content"].as_object();
                let (kind, content) = content.and_then(|content| content.iter().next()).unzip();
                // The schema of JSON Lines is that of a line.
                let schema = content.map(|content| match kind.unwrap().as_str() {
                    "application/x-ndjson" => json!({"type": "array", "items": content["schema"]}),
                    _ => content["schema"].clone(),
                });
                let schema = schema.map(|schema| validator(document, &schema, Draft::Draft202012));
                (status.parse().unwrap(), schema)
            };
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.split('/').map(str::to_owned).collect(),
                answers: responses.iter().map(answer).collect(),
            });
        }
    }
    operations
}

/// The messages by their names.
fn messages(document: &Value) -> HashMap<String, Validator> {
    let messages = document["components"]["messages"].as_object().unwrap();
    let schema =
        |(name, message): (&String, &Value)| (name.clone(), validator(document, &message["payload"], Draft::Draft7));
    messages.iter().map(schema).collect()
}

/// Checks a response, if the document has its operation. Responses that all paths have in common are described there in
/// prose.
pub fn check_answer(method: &Method, path: &str, status: StatusCode, body: &Value) {
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let is_path = |template: &[String]| {
        let same = |(expected, segment): (&String, &&str)| expected.starts_with('{') || expected == segment;
        template.len() == segments.len() && template.iter().zip(&segments).all(same)
    };
    let mut operations = OPERATIONS.iter().filter(|operation| operation.method == *method && is_path(&operation.path));
    let Some(operation) = operations.next() else { return };
    let answer = operation.answers.get(&status.as_u16());
    match answer.unwrap_or_else(|| panic!("{method} {path}: {status} is not in docs/openapi.yaml: {body}")) {
        Some(schema) => check(&format!("{method} {path} {status}"), schema, body),
        None => assert!(body.is_null(), "{method} {path} {status}: {body}"),
    }
}

/// Checks a line from a socket: `message` is the type of `Message`. Lines without a known type are custom events.
pub fn check_line(line: &Value) {
    let kind = line["type"].as_str().unwrap_or_default();
    let name: String = kind.chars().take(1).flat_map(char::to_uppercase).chain(kind.chars().skip(1)).collect();
    if let Some(schema) = MESSAGES.get(&name) {
        check(kind, schema, line);
    }
    // Separately, since an error about one of several possible entries would not be helpful.
    let parts = ["entries", "chats"].into_iter().filter_map(|name| line[name].as_array());
    parts.flatten().for_each(check_line);
}

fn check(what: &str, schema: &Validator, value: &Value) {
    let problems: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{what} is not as documented: {}\n{value}", problems.join("\n"));
}

#[test]
fn every_action_is_documented() {
    let document = document("asyncapi.yaml");
    let operations = document["operations"].as_object().unwrap().iter();
    let mut documented: Vec<&str> =
        operations.filter(|(_, operation)| operation["action"] == "receive").map(|(name, _)| name.as_str()).collect();
    let mut known: Vec<&str> = confab_shared::api::websocket::action_names().collect();
    documented.sort_unstable();
    known.sort_unstable();
    assert_eq!(documented, known);
}

#[test]
fn the_documents_reject_invalid_responses() {
    let fails = |check: fn()| std::panic::catch_unwind(check).is_err();
    let token = json!({"auth_token": "0".repeat(64)});
    check_answer(&Method::POST, "/auth/token/create/", StatusCode::OK, &token);
    assert!(fails(|| check_answer(&Method::POST, "/auth/token/create", StatusCode::OK, &json!({"auth_token": 5}))));
    assert!(fails(|| check_answer(&Method::POST, "/auth/token/create/", StatusCode::IM_A_TEAPOT, &json!({}))));
    assert!(fails(|| check_answer(&Method::POST, "/auth/token/logout/", StatusCode::NO_CONTENT, &json!({}))));
    check_line(&json!({"type": "pong"}));
    check_line(&json!({"type": "weather", "uri": "x"}));
    assert!(fails(|| check_line(&json!({"type": "pong", "more": 1}))));
    assert!(fails(|| check_line(&json!({"type": "subscribed", "entries": []}))));
}
