//! The recorded exchanges with the original stack, replayed in order on an empty table. Needs a separate laptop cloud.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Method, StatusCode,
    header::{HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use crate::world::{World, options};

const TRANSCRIPT: &str = include_str!("../golden/transcript.jsonl");
const EXCHANGES: &str = include_str!("../golden/exchanges.jsonl");
const ACCOUNTS: &str = include_str!("../golden/accounts.jsonl");

/// Where Confab answers differently, on purpose: the exchange's number, the answer's status, and the reason.
#[rustfmt::skip]
const DIFFERENCES: &[(u64, u16, &str)] = &[
    (21, 403, "posting needs membership"),
    (22, 400, "the original crashes over a multipart body without a boundary"),
    (23, 400, "the original crashes over a multipart body cut short"),
    (66, 200, "a new token for each login"),
    (67, 200, "a new token for each login"),
    (156, 400, "names that differ only in case are one name: they look alike, and login finds them in any case"),
    (220, 405, "OPTIONS metadata is not copied"),
    (225, 405, "POST to a chat is not a way to create one"),
    (226, 405, "POST to a chat is not a way to create one"),
    (227, 405, "the original crashes without a uri"),
    (228, 200, "Confab lists chats"),
    (231, 200, "Confab lists chats"),
    (232, 405, "OPTIONS metadata is not copied"),
    (235, 405, "methods are case-sensitive, as HTTP says"),
    (236, 200, "Confab shows a chat"),
    (239, 200, "Confab shows a chat"),
    (240, 405, "OPTIONS metadata is not copied"),
    (241, 404, "Confab shows chats, and knows no such one"),
    (247, 403, "inviting needs membership"),
    (248, 404, "the original crashes over an unknown uri"),
    (249, 400, "the original crashes over an unknown username"),
    (250, 404, "the original crashes over an unknown uri"),
    (251, 200, "an invitation finds a name in any case"),
    (252, 400, "the original crashes without a username"),
    (253, 400, "the original crashes without a username"),
    (254, 404, "the original crashes over an unknown uri"),
    (255, 400, "the original crashes over a blank username"),
    (256, 400, "the original crashes over an unknown username"),
    (258, 400, "the original crashes over null"),
    (260, 400, "the original crashes over an unknown username"),
    (261, 400, "the original crashes over what is no text"),
    (262, 400, "the original crashes over what is no text"),
    (263, 400, "the original crashes over what is no text"),
    (264, 400, "the original crashes over what is no object"),
    (265, 400, "the original crashes over what is no object"),
    (269, 400, "the original crashes without a username"),
    (270, 400, "the original crashes over a NUL"),
    (271, 400, "the original crashes over an unknown username"),
    (456, 200, "a new token for each login"),
];

/// Values captured from answers, by name.
type Captured = BTreeMap<String, String>;

fn filled(text: &str, captured: &Captured) -> String {
    captured.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

fn bytes(value: &Value, captured: &Captured) -> Vec<u8> {
    match value {
        Value::String(text) => filled(text, captured).into_bytes(),
        other => STANDARD.decode(other["b64"].as_str().unwrap()).unwrap(),
    }
}

/// Whether a response has everything that is expected; it may have more members.
fn has(answer: &Value, expected: &Value, captured: &Captured) -> bool {
    match (answer, expected) {
        (_, Value::String(text)) if text == "{{*}}" => true,
        (Value::String(answer), Value::String(expected)) => {
            let expected = filled(expected, captured);
            *answer == expected
                || answer.starts_with("JSON parse error - ") && expected.starts_with("JSON parse error - ")
        }
        (Value::Object(answer), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| answer.get(name).is_some_and(|found| has(found, value, captured)))
        }
        (Value::Array(answer), Value::Array(expected)) => {
            answer.len() == expected.len() && answer.iter().zip(expected).all(|(a, e)| has(a, e, captured))
        }
        (answer, expected) => answer == expected,
    }
}

async fn replay(world: &World, lines: &str, captured: &mut Captured) -> Vec<String> {
    let mut complaints = Vec::new();
    for line in lines.lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let n = exchange["n"].as_u64().unwrap();
        prepare(world, n, captured).await;
        let method = Method::from_bytes(exchange["method"].as_str().unwrap().as_bytes()).unwrap();
        let mut request = world.request(method, &filled(exchange["path"].as_str().unwrap(), captured));
        for (name, value) in exchange["headers"].as_object().unwrap() {
            let name = HeaderName::try_from(name).unwrap();
            request = request.header(name, HeaderValue::from_bytes(&bytes(value, captured)).unwrap());
        }
        if n == 213 {
            // The recording lacks this body; the response shows what it was.
            request = request.body(vec![0xff]);
        } else if let Some(body) = exchange.get("body").filter(|body| !body.is_null()) {
            request = request.body(bytes(body, captured));
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let expected = &without_consequences(&exchange["response"]);
        for (name, member) in exchange["capture"].as_object().into_iter().flatten() {
            let value = answer[member.as_str().unwrap()].as_str();
            captured.insert(name.clone(), value.unwrap_or_else(|| panic!("{n}: {text}")).to_owned());
        }
        let same = status.as_u16() == expected["status"]
            // HTTP has no bodies in responses to HEAD; the recording was made below HTTP.
            && (exchange["method"] == "HEAD" || has(&answer, &expected["json"], captured))
            // The recording of accounts has no headers.
            && (exchange["group"] == "accounts"
                || headers.get("www-authenticate").map(|value| value.to_str().unwrap()) == expected["www_authenticate"].as_str());
        let difference = DIFFERENCES.iter().find(|(number, ..)| *number == n);
        let complaint = match difference {
            None if same => None,
            None => Some(format!("expected {expected}")),
            Some((_, expected, _)) if status.as_u16() == *expected && differs_well(status, &answer) => None,
            Some((_, expected, reason)) => Some(format!("expected {expected}: {reason}")),
        };
        if let Some(complaint) = complaint {
            complaints.push(format!("{n} {}: {status} {text}, {complaint}", exchange["name"]));
        }
    }
    complaints
}

/// The effects in later responses of a message that only the original accepted (21), and of a member who was added only
/// there (247).
fn without_consequences(expected: &Value) -> Value {
    match expected {
        Value::Array(elements) => {
            let not_here = |element: &&Value| element["message"] != "multi part" && element["username"] != "pw8";
            elements.iter().filter(not_here).map(without_consequences).collect()
        }
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), without_consequences(value))).collect())
        }
        other => other.clone(),
    }
}

/// A deliberate difference still has the form of the original's responses.
fn differs_well(status: StatusCode, answer: &Value) -> bool {
    match status.as_u16() {
        400 => answer.as_object().is_some_and(|fields| !fields.is_empty()),
        403..=405 => answer["detail"].is_string(),
        200..=299 => true,
        _ => false,
    }
}

/// A change that the recording made directly in its database, and the id of a user who was registered only there (156).
async fn prepare(world: &World, n: u64, captured: &Captured) {
    if n == 70 {
        let table = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
        let update = table
            .key("pk", AttributeValue::S("USER#6".to_owned()))
            .key("sk", AttributeValue::S("PROFILE".to_owned()))
            .update_expression("SET is_active = :no")
            .expression_attribute_values(":no", AttributeValue::Bool(false));
        update.send().await.unwrap();
        assert!(captured.contains_key("tin"));
    }
    if n == 157 {
        let table = world.dynamodb().update_item().table_name(world.variable("TABLE_NAME"));
        let update = table
            .key("pk", AttributeValue::S("COUNTER#user".to_owned()))
            .key("sk", AttributeValue::S("COUNTER".to_owned()))
            .update_expression("ADD last_id :one")
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
        update.send().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_original_documentation() {
    let world = World::own(options()).await;
    let complaints = replay(&world, TRANSCRIPT, &mut Captured::new()).await;
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_exchange() {
    let world = World::own(options()).await;
    let mut captured = Captured::new();
    let mut complaints = replay(&world, TRANSCRIPT, &mut captured).await;
    complaints.extend(replay(&world, EXCHANGES, &mut captured).await);
    complaints.extend(replay(&world, ACCOUNTS, &mut captured).await);
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn comparing_can_fail() {
    let captured = Captured::from([("uri".to_owned(), "abc".to_owned())]);
    assert!(has(&json!({"a": [1], "b": 2, "u": "abc"}), &json!({"a": [1], "u": "{{uri}}"}), &captured));
    for answer in [json!({"a": [1, 2], "u": "abc"}), json!({"a": [1], "u": "abd"}), json!({"u": "abc"})] {
        assert!(!has(&answer, &json!({"a": [1], "u": "{{uri}}"}), &captured));
    }
}
