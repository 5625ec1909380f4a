//! The fields of a request's body, whichever of the three formats they came in, and the checks of a text among them.
//!
//! The words of complaint are Django REST framework's.

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use crate::{
    Error, Result,
    error::Invalid,
    log::{EntryId, LAST_ID},
};

/// The fields of a body, in the order in which they came. A name may come more than once in a form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(String, Value)>);

impl Fields {
    /// Reads a body as its `Content-Type` says: JSON, a URL-encoded form, or a multipart form.
    ///
    /// # Errors
    /// [`Error::UnsupportedMediaType`] for another format, [`Error::Malformed`] where the body is not what it claims.
    pub async fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "application/json" => Self::from_json(body),
            "application/x-www-form-urlencoded" => Ok(Self::from_form(body)),
            "multipart/form-data" => Self::from_multipart(content_type, body).await,
            _ => Err(Error::UnsupportedMediaType(content_type.to_owned())),
        }
    }

    fn from_json(body: &[u8]) -> Result<Self> {
        let value =
            serde_json::from_slice(body).map_err(|error| Error::Malformed(format!("JSON parse error - {error}")))?;
        Self::from_value(value)
    }

    /// Reads a JSON value, which must be an object.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn from_value(value: Value) -> Result<Self> {
        let kind = match value {
            Value::Object(members) => return Ok(members.into()),
            Value::Null => return Err(Invalid::field("non_field_errors", "No data provided").into()),
            Value::Array(_) => "list",
            Value::String(_) => "str",
            Value::Bool(_) => "bool",
            Value::Number(number) if number.is_f64() => "float",
            Value::Number(_) => "int",
        };
        let problem = format!("Invalid data. Expected a dictionary, but got {kind}.");
        Err(Invalid::field("non_field_errors", problem).into())
    }

    fn from_form(body: &[u8]) -> Self {
        Self(form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), value.into())).collect())
    }

    async fn from_multipart(content_type: &str, body: &Bytes) -> Result<Self> {
        let malformed = |error: multer::Error| Error::Malformed(format!("Multipart form parse error - {error}"));
        let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
        let whole = std::future::ready(Ok::<_, std::convert::Infallible>(body.clone()));
        let mut form = multer::Multipart::new(futures_util::stream::once(whole), boundary);
        let mut fields = Vec::new();
        while let Some(part) = form.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            fields.push((name, part.text().await.map_err(malformed)?.into()));
        }
        Ok(Self(fields))
    }

    /// The value of a field; the last, where a form has several.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The id of an entry, where the field is there and not null. In a form it is a text, and in JSON 5.0 is as whole as 5.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is no id.
    pub fn entry_id(&self, name: &'static str) -> Result<Option<EntryId>> {
        let Some(value) = self.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
        let number = value.as_u64().or_else(|| value.as_f64().and_then(whole)).or_else(|| value.as_str()?.parse().ok());
        let number = number.filter(|id| *id <= LAST_ID);
        let problem = || Invalid::field(name, format!("A whole number from 0 to {LAST_ID} is required."));
        number.map(Some).ok_or_else(|| problem().into())
    }

    /// The same where it must be there.
    ///
    /// # Errors
    /// As [`Fields::entry_id`].
    pub fn required_entry_id(&self, name: &'static str) -> Result<EntryId> {
        self.entry_id(name)?.ok_or_else(|| Invalid::field(name, "This field is required.").into())
    }

    /// All values of a field: a form's repeated fields, or the elements of a JSON array.
    pub fn list(&self, name: &str) -> Option<Vec<&Value>> {
        if let Some(Value::Array(elements)) = self.get(name) {
            return Some(elements.iter().collect());
        }
        let values: Vec<_> = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect();
        (!values.is_empty()).then_some(values)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(members: Map<String, Value>) -> Self {
        Self(members.into_iter().collect())
    }
}

/// What is expected of a text field. As in Django REST framework, numbers are taken as text, and white space around a text
/// is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    name: &'static str,
    required: bool,
    blank: bool,
    at_most: usize,
}

impl Text {
    /// A field that must be there and not be blank.
    pub fn required(name: &'static str) -> Self {
        Self { name, required: true, blank: false, at_most: usize::MAX }
    }

    /// A field that may be left out.
    pub fn optional(name: &'static str) -> Self {
        Self { required: false, ..Self::required(name) }
    }

    /// It may be blank.
    pub fn blank(self) -> Self {
        Self { blank: true, ..self }
    }

    /// It may have so many characters at most.
    pub fn at_most(self, characters: usize) -> Self {
        Self { at_most: characters, ..self }
    }

    /// The text, trimmed; what is wrong with it goes to `invalid`.
    pub fn read(self, fields: &Fields, invalid: &mut Invalid) -> Option<String> {
        let text = match fields.get(self.name) {
            None if self.required => {
                invalid.add(self.name, "This field is required.");
                return None;
            }
            None => return None,
            Some(value) => match text_of(value) {
                Ok(text) => text,
                Err(problem) => {
                    invalid.add(self.name, problem);
                    return None;
                }
            },
        };
        if text.is_empty() && !self.blank {
            invalid.add(self.name, "This field may not be blank.");
            return None;
        }
        if text.chars().count() > self.at_most {
            invalid.add(self.name, format!("Ensure this field has no more than {} characters.", self.at_most));
        }
        Some(text)
    }
}

/// A value as a trimmed text.
///
/// # Errors
/// What is wrong with it.
pub fn text_of(value: &Value) -> std::result::Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Null => Err("This field may not be null."),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err("Not a valid string."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(content_type: &str, body: &[u8]) -> Result<Fields> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Fields::read(&headers, &Bytes::copy_from_slice(body)))
    }

    #[test]
    fn three_formats_say_the_same() {
        let multipart = b"--XX\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nHey \xc3\xa9!\r\n--XX--\r\n";
        for (content_type, body) in [
            ("application/json", r#"{"message": "Hey é!"}"#.as_bytes()),
            ("Application/X-WWW-Form-URLEncoded; charset=utf-8", b"message=Hey+%C3%A9!"),
            ("multipart/form-data; boundary=XX", multipart),
        ] {
            assert_eq!(read(content_type, body).unwrap().get("message"), Some(&json!("Hey é!")), "{content_type}");
        }
    }

    #[test]
    fn lists() {
        let expected = [json!("a"), json!("b")];
        for (content_type, body) in
            [("application/json", r#"{"u": ["a", "b"]}"#), ("application/x-www-form-urlencoded", "u=a&x=1&u=b")]
        {
            let fields = read(content_type, body.as_bytes()).unwrap();
            assert_eq!(fields.list("u").unwrap(), expected.iter().collect::<Vec<_>>());
            assert_eq!(fields.list("v"), None);
        }
    }

    #[test]
    fn ids_are_whole_numbers() {
        let id = |value: Value| Fields(vec![("id".to_owned(), value)]).entry_id("id");
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(5.0), Some(5)),
            (json!(-0.0), Some(0)),
            (json!(LAST_ID as f64), Some(LAST_ID)),
            (Value::Null, None),
        ] {
            assert_eq!(id(value.clone()).unwrap(), expected, "{value}");
        }
        for value in
            [json!(5.5), json!(-1), json!(-1.0), json!(LAST_ID + 1), json!(1e300), json!(""), json!(true), json!([5])]
        {
            assert_eq!(id(value.clone()).unwrap_err().status(), 400, "{value}");
        }
    }

    #[test]
    fn other_formats_are_refused() {
        assert!(matches!(read("text/plain", b"x"), Err(Error::UnsupportedMediaType(t)) if t == "text/plain"));
        assert!(matches!(read("multipart/form-data", b"x"), Err(Error::Malformed(_))));
        assert!(matches!(read("multipart/form-data; boundary=XX", b"--XX\r\nContent-Disp"), Err(Error::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_body_gives_an_answer(
            kind in prop_oneof![
                Just("application/json"),
                Just("application/x-www-form-urlencoded"),
                Just("multipart/form-data; boundary=X"),
            ],
            body in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                r#"[\[\]{}"a0,:\\ -]{0,60}"#.prop_map(String::into_bytes),
                r#"--X(\r\n|Content-Disposition: form-data|; name="a"|--X|-|a){0,12}"#.prop_map(String::into_bytes),
            ],
        ) {
            let _ = read(kind, &body);
        }
    }
}
