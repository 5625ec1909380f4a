//! The values of a template's parameters, checked as CloudFormation checks them before it creates a stack
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html>).

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{error::TemplateError, scalar::text};

/// The value of each parameter: the one given, or its default.
pub(super) fn values(
    parameters: &Map<String, Value>,
    given: &BTreeMap<String, String>,
) -> Result<Map<String, Value>, TemplateError> {
    let unknown: Vec<&str> = given.keys().map(String::as_str).filter(|name| !parameters.contains_key(*name)).collect();
    if !unknown.is_empty() {
        let problem = format!("Parameters: [{}] do not exist in the template", unknown.join(", "));
        return Err(TemplateError::Parameter(problem));
    }
    let value = |name: &str, parameter: &Value| {
        given.get(name).map(|value| json!(value)).or_else(|| parameter.get("Default").cloned())
    };
    let missing: Vec<&str> = parameters
        .iter()
        .filter(|(name, parameter)| value(name, parameter).is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        return Err(TemplateError::Parameter(format!("Parameters: [{}] must have values", missing.join(", "))));
    }
    let mut values = Map::new();
    for (name, parameter) in parameters {
        let value = value(name, parameter).unwrap_or_default();
        let whole = text(&value)?;
        let elements = if is_list(parameter) { elements(&whole) } else { vec![whole.as_str()] };
        for element in &elements {
            check(name, parameter, element)?;
        }
        values.insert(name.clone(), if is_list(parameter) { json!(elements) } else { value });
    }
    Ok(values)
}

/// The parameters' defaults, unchecked. A list without a default is empty, and any other parameter without one is null.
pub(super) fn defaults(parameters: &Map<String, Value>) -> Map<String, Value> {
    let default = |parameter: &Value| match (is_list(parameter), parameter.get("Default").map(text)) {
        (true, Some(Ok(text))) => json!(elements(&text)),
        (true, _) => json!([]),
        (false, _) => parameter.get("Default").cloned().unwrap_or_default(),
    };
    parameters.iter().map(|(name, parameter)| (name.clone(), default(parameter))).collect()
}

fn is_list(parameter: &Value) -> bool {
    parameter["Type"].as_str().is_some_and(|kind| kind == "CommaDelimitedList" || kind.starts_with("List<"))
}

fn elements(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).collect()
}

fn check(name: &str, parameter: &Value, value: &str) -> Result<(), TemplateError> {
    let Some(constraint) = broken(name, parameter, value)? else { return Ok(()) };
    let problem = match parameter["ConstraintDescription"].as_str() {
        Some(description) => format!("Parameter '{name}' failed to satisfy constraint: {description}"),
        None => format!("Parameter '{name}' must {constraint}"),
    };
    Err(TemplateError::Parameter(problem))
}

/// What a value must do and does not.
fn broken(name: &str, parameter: &Value, value: &str) -> Result<Option<String>, TemplateError> {
    let limit = |member: &str| parameter.get(member).and_then(|limit| number(&text(limit).ok()?));
    if parameter["Type"].as_str().is_some_and(|kind| kind.contains("Number")) {
        let Some(number) = number(value) else { return Ok(Some("be a number".to_owned())) };
        if let Some(least) = limit("MinValue").filter(|least| number < *least) {
            return Ok(Some(format!("be a number not less than {least}")));
        }
        if let Some(most) = limit("MaxValue").filter(|most| number > *most) {
            return Ok(Some(format!("be a number not greater than {most}")));
        }
    }
    let length = value.chars().count() as f64;
    if let Some(least) = limit("MinLength").filter(|least| length < *least) {
        return Ok(Some(format!("contain at least {least} characters")));
    }
    if let Some(most) = limit("MaxLength").filter(|most| length > *most) {
        return Ok(Some(format!("contain at most {most} characters")));
    }
    if let Some(allowed) = parameter["AllowedValues"].as_array() {
        let allowed = allowed.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        if !allowed.iter().any(|allowed| allowed == value) {
            return Ok(Some(format!("be one of AllowedValues: {}", allowed.join(", "))));
        }
    }
    if let Some(pattern) = parameter["AllowedPattern"].as_str() {
        // It has to match all of the value.
        let whole = Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|_| {
            TemplateError::wrong(format!("the AllowedPattern of the parameter {name} is not supported"))
        })?;
        if !whole.is_match(value) {
            return Ok(Some(format!("match pattern {pattern}")));
        }
    }
    Ok(None)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(parameter: Value, value: &str) -> Result<Value, String> {
        let (parameters, given) = (json!({ "X": parameter }), [("X".to_owned(), value.to_owned())].into());
        let values = values(parameters.as_object().unwrap(), &given);
        values.map(|values| values["X"].clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn constraints_are_checked() {
        let number = json!({ "Type": "Number", "MinValue": 1, "MaxValue": "10" });
        for value in ["1", "10", "5.5"] {
            assert_eq!(check(number.clone(), value).unwrap(), value);
        }
        for (value, problem) in [
            ("0", "Parameter 'X' must be a number not less than 1."),
            ("11", "Parameter 'X' must be a number not greater than 10."),
            ("", "Parameter 'X' must be a number."),
            ("two", "Parameter 'X' must be a number."),
            ("NaN", "Parameter 'X' must be a number."),
            (" 1", "Parameter 'X' must be a number."),
        ] {
            assert_eq!(check(number.clone(), value).unwrap_err(), problem, "{value:?}");
        }
        let text = json!({ "Type": "String", "AllowedPattern": "[a-z]+|[0-9]", "MinLength": 1, "MaxLength": 3 });
        assert!(["a", "abc", "1"].iter().all(|value| check(text.clone(), value).is_ok()));
        for value in ["", "abcd", "A", "a1", "12", "a\n"] {
            assert!(check(text.clone(), value).is_err(), "{value:?}");
        }
        let choice = json!({ "Type": "String", "AllowedValues": ["yes", 1] });
        assert!(["yes", "1"].iter().all(|value| check(choice.clone(), value).is_ok()));
        assert_eq!(check(choice, "Yes").unwrap_err(), "Parameter 'X' must be one of AllowedValues: yes, 1.");
        let described = json!({ "Type": "Number", "MinValue": 1, "ConstraintDescription": "a day at least" });
        assert_eq!(check(described, "0").unwrap_err(), "Parameter 'X' failed to satisfy constraint: a day at least.");
        let odd = json!({ "Type": "String", "AllowedPattern": "(?=a)" });
        assert!(check(odd, "a").unwrap_err().contains("AllowedPattern"));
    }

    #[test]
    fn lists_are_checked_by_element() {
        let list = json!({ "Type": "List<Number>", "MaxValue": 5 });
        assert_eq!(check(list.clone(), "1, 5").unwrap(), json!(["1", "5"]));
        assert!(check(list, "1,6").is_err());
    }

    #[test]
    fn a_default_is_checked_and_a_value_is_required() {
        let values = |parameters: Value| {
            let values = values(parameters.as_object().unwrap(), &BTreeMap::new());
            values.map_err(|error| error.to_string())
        };
        assert_eq!(values(json!({ "X": { "Type": "Number", "Default": 3 } })).unwrap()["X"], 3);
        assert!(values(json!({ "X": { "Type": "Number", "Default": 3, "MaxValue": 2 } })).is_err());
        let missing = values(json!({ "X": { "Type": "String" }, "Y": { "Type": "String" } }));
        assert_eq!(missing.unwrap_err(), "Parameters: [X, Y] must have values.");
        assert!(check(json!({ "Type": "String" }), "").is_ok(), "an empty text is a value");
    }
}
