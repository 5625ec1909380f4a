//! Texts among a request's fields. As in Django REST framework, numbers are accepted as texts, and surrounding white
//! space is trimmed; a text can ask for neither.

use serde_json::Value;

use super::fields::Fields;
use crate::{Result, error::Invalid};

/// What is expected of a text field.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    name: &'static str,
    is_required: bool,
    may_be_blank: bool,
    is_trimmed: bool,
    is_strict: bool,
    forbidden: Forbidden,
    max_characters: usize,
}

/// The characters that a text may not have.
#[derive(Clone, Copy, Debug)]
enum Forbidden {
    Nothing,
    Nul,
    Control,
}

impl Text {
    /// A field that is required and may not be blank.
    pub fn required(name: &'static str) -> Self {
        Self {
            name,
            is_required: true,
            may_be_blank: false,
            is_trimmed: true,
            is_strict: false,
            forbidden: Forbidden::Nothing,
            max_characters: usize::MAX,
        }
    }

    /// A field that may be missing.
    pub fn optional(name: &'static str) -> Self {
        Self { is_required: false, ..Self::required(name) }
    }

    /// It may be blank.
    pub fn blank(self) -> Self {
        Self { may_be_blank: true, ..self }
    }

    /// It keeps surrounding white space.
    pub fn untrimmed(self) -> Self {
        Self { is_trimmed: false, ..self }
    }

    /// Numbers are not accepted.
    pub fn strict(self) -> Self {
        Self { is_strict: true, ..self }
    }

    /// It may not have the character NUL.
    pub fn without_nul(self) -> Self {
        Self { forbidden: Forbidden::Nul, ..self }
    }

    /// It may not have control characters.
    pub fn printable(self) -> Self {
        Self { forbidden: Forbidden::Control, ..self }
    }

    /// It has at most this many characters (Unicode scalar values).
    pub fn at_most(self, characters: usize) -> Self {
        Self { max_characters: characters, ..self }
    }

    /// The text of the field; its problems are added to `invalid`.
    pub fn read(self, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
        match fields.get(self.name) {
            Some(value) => self.read_value(value, fields, invalid),
            None if self.is_required => {
                invalid.add(self.name, "This field is required.");
                None
            }
            None => None,
        }
    }

    /// The text of a required field, by itself.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] with its problems.
    pub fn require(self, fields: &Fields) -> Result<String> {
        let mut invalid = Invalid::default();
        let text = self.read(fields, &mut invalid).unwrap_or_default();
        invalid.unless_empty(text)
    }

    /// The text of one value of the field, such as an element of a list.
    pub(crate) fn read_value(self, value: &Value, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
        let text = match self.text_of(value, fields) {
            Ok(text) => text,
            Err(problem) => {
                invalid.add(self.name, problem);
                return None;
            }
        };
        let text = if self.is_trimmed { text.trim().to_owned() } else { text };
        if text.is_empty() && !self.may_be_blank {
            invalid.add(self.name, "This field may not be blank.");
            return None;
        }
        match self.forbidden {
            Forbidden::Nul if text.contains('\0') => {
                invalid.add(self.name, "Null characters are not allowed.");
                return None;
            }
            Forbidden::Control if text.contains(char::is_control) => {
                invalid.add(self.name, "Control characters are not allowed.");
            }
            _ => {}
        }
        if text.chars().count() > self.max_characters {
            invalid.add(self.name, format!("Ensure this field has no more than {} characters.", self.max_characters));
        }
        Some(text)
    }

    /// A JSON value as a text: that of a number is its digits, as they were sent.
    fn text_of(self, value: &Value, fields: &Fields) -> Result<String, &'static str> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Number(_) if !self.is_strict => Ok(fields.digits(self.name, value)),
            Value::Null => Err("This field may not be null."),
            Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err("Not a valid string."),
        }
    }
}
