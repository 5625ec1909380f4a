//! Scalars of a template.

use serde_json::Value;

use super::error::TemplateError;

/// A scalar as text.
pub(super) fn text(value: &Value) -> Result<String, TemplateError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        other => Err(TemplateError::wrong(format!("{other} is not text"))),
    }
}
