//! A template's YAML as JSON, with the short forms of intrinsic functions written out.

use std::collections::HashSet;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The first document of a YAML text.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    value_of(documents.first().ok_or("it is empty")?)
}

fn value_of(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(elements) => Value::Array(elements.iter().map(value_of).collect::<Result<_, _>>()?),
        Yaml::Mapping(members) => {
            let mut object = Map::new();
            let mut seen = HashSet::new();
            for (name, value) in members {
                let name = match value_of(name)? {
                    Value::String(name) => name,
                    other => other.to_string(),
                };
                if !seen.insert(name.clone()) {
                    return Err(format!("the key {name} is duplicated"));
                }
                object.insert(name, value_of(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, value) => tagged(&tag.suffix, value_of(value)?)?,
        Yaml::Representation(text, ..) => json!(text),
        Yaml::Alias(_) | Yaml::BadValue => return Err("it has an alias or an invalid value".to_owned()),
    })
}

/// `!Sub x` as `{"Fn::Sub": x}`.
fn tagged(function: &str, argument: Value) -> Result<Value, String> {
    let name = match function {
        "Ref" | "Condition" => function.to_owned(),
        _ => format!("Fn::{function}"),
    };
    let argument = match (function, argument) {
        ("GetAtt", Value::String(path)) => match path.split_once('.') {
            Some((resource, attribute)) => json!([resource, attribute]),
            None => return Err(format!("!GetAtt {path} names no attribute")),
        },
        (_, argument) => argument,
    };
    Ok(json!({ name: argument }))
}
