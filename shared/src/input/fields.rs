//! The fields of a request's body, in any of the three formats that the original accepts. The texts of problems are
//! Django REST framework's.

use std::{borrow::Cow, collections::BTreeMap, ptr};

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    Error, Result,
    error::Invalid,
    ids::{EntryId, LAST_ID},
};

/// The fields of a body, in the order in which they were sent. In a form, a name may be repeated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields {
    fields: Vec<(String, Value)>,
    /// The numbers of a JSON body as they were sent, where they do not read like that, such as
    /// `12345678901234567890123` or `1.50`: by their field and their place in its list.
    inexact: BTreeMap<(String, usize), String>,
}

impl Fields {
    /// Reads a body of the format that `Content-Type` names: JSON, a URL-encoded form, or a multipart form.
    ///
    /// # Errors
    /// [`Error::UnsupportedMediaType`] for another format, [`Error::Malformed`] where the body is not of its format.
    pub async fn read(headers: &HeaderMap, body: &Bytes) -> Result<Self> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let unsupported = || Error::UnsupportedMediaType(content_type.to_owned());
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let encoding = encoding(content_type).ok_or_else(unsupported)?;
        match media_type.as_str() {
            "application/json" => Self::from_json(&decoded(encoding, body, "JSON parse error")?),
            // No client sends percent-encoded UTF-16.
            "application/x-www-form-urlencoded" if encoding.is_ascii_compatible() => Self::from_form(encoding, body),
            "multipart/form-data" => Self::from_multipart(content_type, encoding, body).await,
            _ => Err(unsupported()),
        }
    }

    fn from_json(text: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| Error::Malformed(format!("JSON parse error - {error}")))?;
        let fields = Self::from_value(value)?;
        let inexact = inexact(text);
        Ok(Self { inexact, ..fields })
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

    fn from_form(encoding: &'static Encoding, body: &[u8]) -> Result<Self> {
        let text = |bytes: &[u8]| {
            let bytes: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            let bytes: Vec<u8> = percent_encoding::percent_decode(&bytes).collect();
            decoded(encoding, &bytes, "Form parse error").map(Cow::into_owned)
        };
        let mut fields = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let [name, value] = [(); 2].map(|()| halves.next().unwrap_or_default());
            fields.push((text(name)?, text(value)?.into()));
        }
        Ok(Self { fields, ..Self::default() })
    }

    async fn from_multipart(content_type: &str, encoding: &'static Encoding, body: &Bytes) -> Result<Self> {
        let malformed = |error: multer::Error| Error::Malformed(format!("Multipart form parse error - {error}"));
        let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
        let whole = std::future::ready(Ok::<_, std::convert::Infallible>(body.clone()));
        let mut form = multer::Multipart::new(futures_util::stream::once(whole), boundary);
        let mut fields = Vec::new();
        while let Some(part) = form.next_field().await.map_err(malformed)? {
            let name = part.name().unwrap_or_default().to_owned();
            let charset =
                part.content_type().and_then(|kind| kind.get_param("charset")).map(|charset| charset.to_string());
            let encoding = match &charset {
                Some(label) => {
                    of_label(label).ok_or_else(|| Error::UnsupportedMediaType(format!("charset={label}")))?
                }
                None => encoding,
            };
            let bytes = part.bytes().await.map_err(malformed)?;
            fields.push((name, decoded(encoding, &bytes, "Multipart form parse error")?.into()));
        }
        Ok(Self { fields, ..Self::default() })
    }

    /// The value of a field; the last one where a form repeats it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().rev().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The id of an entry, where the field is present and not null. In a form it is a text, and in JSON `5.0` equals
    /// `5`.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is not an id.
    pub fn entry_id(&self, name: &'static str) -> Result<Option<EntryId>> {
        let Some(value) = self.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let whole = |number: f64| (number.fract() == 0.0 && number >= 0.0).then_some(number as u64);
        let number = value.as_u64().or_else(|| value.as_f64().and_then(whole)).or_else(|| value.as_str()?.parse().ok());
        let number = number.filter(|id| *id <= LAST_ID);
        let problem = || Invalid::field(name, format!("A whole number from 0 to {LAST_ID} is required."));
        number.map(|id| Some(EntryId(id))).ok_or_else(|| problem().into())
    }

    /// The id of an entry, where the field is required.
    ///
    /// # Errors
    /// As [`Fields::entry_id`].
    pub fn required_entry_id(&self, name: &'static str) -> Result<EntryId> {
        self.entry_id(name)?.ok_or_else(|| Invalid::field(name, "This field is required.").into())
    }

    /// The digits of a number, as they were sent. It is the value of the field, or an element of its list.
    pub(crate) fn digits(&self, name: &str, number: &Value) -> String {
        let elements = self.get(name).and_then(Value::as_array);
        let place = elements.and_then(|elements| elements.iter().position(|element| ptr::eq(element, number)));
        let sent = self.inexact.get(&(name.to_owned(), place.unwrap_or_default()));
        sent.cloned().unwrap_or_else(|| number.to_string())
    }

    /// All values of a field: a form's repeated fields, or the elements of a JSON array.
    pub fn list(&self, name: &str) -> Option<Vec<&Value>> {
        if let Some(Value::Array(elements)) = self.get(name) {
            return Some(elements.iter().collect());
        }
        let values: Vec<_> = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value).collect();
        (!values.is_empty()).then_some(values)
    }
}

impl From<Map<String, Value>> for Fields {
    fn from(members: Map<String, Value>) -> Self {
        Self { fields: members.into_iter().collect(), inexact: BTreeMap::new() }
    }
}

/// The encoding that a `Content-Type` names, or UTF-8; `None` for an unknown one.
fn encoding(content_type: &str) -> Option<&'static Encoding> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let charset = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset")).last();
    charset.map_or(Some(UTF_8), |(_, label)| of_label(label.trim().trim_matches('"')))
}

fn of_label(label: &str) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label.as_bytes())
}

/// Bytes as text, without a single character replaced.
fn decoded<'a>(encoding: &'static Encoding, bytes: &'a [u8], problem: &str) -> Result<Cow<'a, str>> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    text.ok_or_else(|| Error::Malformed(format!("{problem} - the body is not {}", encoding.name())))
}

/// The numbers of a JSON object that do not read as they were sent: those of its members, and in their lists.
fn inexact(json: &str) -> BTreeMap<(String, usize), String> {
    // This succeeds wherever reading a `Value` did.
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(json).unwrap_or_default();
    let is_inexact = |raw: &RawValue| {
        let number = serde_json::from_str::<serde_json::Number>(raw.get());
        number.is_ok_and(|number| number.to_string() != raw.get())
    };
    let numbers = members.into_iter().flat_map(|(name, raw)| {
        let list = serde_json::from_str::<Vec<&RawValue>>(raw.get()).unwrap_or_else(|_| vec![raw]);
        list.into_iter().enumerate().map(move |(place, raw)| ((name.clone(), place), raw))
    });
    numbers.filter(|(_, raw)| is_inexact(raw)).map(|(place, raw)| (place, raw.get().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::text::Text;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(content_type: &str, body: &[u8]) -> Result<Fields> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())]);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(Fields::read(&headers, &Bytes::copy_from_slice(body)))
    }

    #[test]
    fn three_formats_are_read_alike() {
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
        let id = |value: Value| Fields::from_value(json!({ "id": value })).unwrap().entry_id("id");
        for (value, expected) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(5.0), Some(5)),
            (json!(-0.0), Some(0)),
            (json!(LAST_ID as f64), Some(LAST_ID)),
            (Value::Null, None),
        ] {
            assert_eq!(id(value.clone()).unwrap(), expected.map(EntryId), "{value}");
        }
        for value in
            [json!(5.5), json!(-1), json!(-1.0), json!(LAST_ID + 1), json!(1e300), json!(""), json!(true), json!([5])]
        {
            assert_eq!(id(value.clone()).unwrap_err().status(), 400, "{value}");
        }
    }

    /// `caf\u{e9}` in the encodings of different forms, and what cannot be decoded.
    #[test]
    fn charsets_are_decoded_or_rejected() {
        let multipart = |headers: &str| {
            let head = format!("--X\r\nContent-Disposition: form-data; name=\"m\"\r\n{headers}\r\n");
            [head.as_bytes(), b"caf\xe9\r\n--X--\r\n"].concat()
        };
        let utf16: Vec<u8> = "{\"m\": \"caf\u{e9}\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (content_type, body) in [
            ("application/x-www-form-urlencoded; charset=iso-8859-1", b"m=caf%E9".to_vec()),
            ("application/x-www-form-urlencoded;charset=\"Latin1\"", b"m=caf\xe9".to_vec()),
            ("application/x-www-form-urlencoded", b"m=caf%C3%A9".to_vec()),
            ("application/json; charset=windows-1252", b"{\"m\": \"caf\xe9\"}".to_vec()),
            ("application/json; charset=utf-16le", utf16),
            ("multipart/form-data; boundary=X; charset=latin1", multipart("")),
            ("multipart/form-data; boundary=X", multipart("Content-Type: text/plain; charset=ISO-8859-1\r\n")),
        ] {
            assert_eq!(read(content_type, &body).unwrap().get("m"), Some(&json!("caf\u{e9}")), "{content_type}");
        }
        for (content_type, body, status) in [
            ("application/x-www-form-urlencoded", b"m=caf%E9".to_vec(), 400),
            ("application/x-www-form-urlencoded", b"m=caf\xe9".to_vec(), 400),
            ("application/x-www-form-urlencoded; charset=shift_jis", b"m=%FF".to_vec(), 400),
            ("application/x-www-form-urlencoded; charset=klingon", b"m=a".to_vec(), 415),
            ("application/x-www-form-urlencoded; charset=utf-16le", b"m=a".to_vec(), 415),
            ("application/x-www-form-urlencoded; charset=iso-2022-kr", b"m=a".to_vec(), 415),
            ("application/json", b"{\"m\": \"caf\xe9\"}".to_vec(), 400),
            ("application/json; charset=klingon", b"{}".to_vec(), 415),
            ("multipart/form-data; boundary=X", multipart(""), 400),
            ("multipart/form-data; boundary=X", multipart("Content-Type: text/plain; charset=klingon\r\n"), 415),
        ] {
            assert_eq!(read(content_type, &body).unwrap_err().status(), status, "{content_type}");
        }
    }

    #[test]
    fn numbers_are_accepted_as_texts_with_the_digits_sent() {
        for number in [
            "1",
            "-7",
            "1.5",
            "18446744073709551615",
            "9007199254740993",
            "12345678901234567890123",
            "1.50",
            "1E2",
            "-0",
            "0.1000000000000000055511151231257827",
        ] {
            let json = format!("{{\"m\": {number}, \"l\": [1.0, {number}, 2.50]}}");
            let fields = read("application/json", json.as_bytes()).unwrap();
            let mut invalid = Invalid::default();
            assert_eq!(Text::required("m").read(&fields, &mut invalid).as_deref(), Some(number));
            let list = fields.list("l").unwrap();
            let texts = list.iter().map(|value| Text::required("l").read_value(value, &fields, &mut invalid).unwrap());
            assert_eq!(texts.collect::<Vec<_>>(), ["1.0", number, "2.50"]);
            assert!(Text::required("m").strict().read(&fields, &mut invalid).is_none());
        }
    }

    #[test]
    fn other_formats_are_rejected() {
        assert!(matches!(read("text/plain", b"x"), Err(Error::UnsupportedMediaType(t)) if t == "text/plain"));
        assert!(matches!(read("multipart/form-data", b"x"), Err(Error::Malformed(_))));
        assert!(matches!(read("multipart/form-data; boundary=XX", b"--XX\r\nContent-Disp"), Err(Error::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_rejected(
            kind in prop_oneof![
                Just("application/json"),
                Just("application/json; charset=utf-16be"),
                Just("application/x-www-form-urlencoded; charset=gbk"),
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

        #[test]
        fn a_form_reads_as_it_was_written(name in "\\PC{1,10}", value in "\\PC{0,10}") {
            let form = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let fields = read("application/x-www-form-urlencoded", form.as_bytes()).unwrap();
            prop_assert_eq!(fields.get(&name), Some(&json!(value)));
        }
    }
}
