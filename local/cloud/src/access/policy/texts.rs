//! Texts in policies.

use serde_json::Value;

/// One text or a list of texts. Numbers and booleans count as texts.
pub(super) fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| match value {
        // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
        Value::String(text) if text.contains("${") => Err(format!("the policy variable in {text} is not supported")),
        Value::String(text) => Ok(text.clone()),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        other => Err(format!("{other} is not a text")),
    };
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}
