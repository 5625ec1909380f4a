//! What a client says about itself.

use http::HeaderValue;
use serde::{Deserialize, Serialize};

const CHARACTERS: usize = 200;

/// What a client says about itself when it asks for a token. It is shown to the token's user and decides nothing, since
/// a client may say anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientInfo {
    /// The `User-Agent` header, as far as it is printable ASCII, shortened to 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client: Option<String>,
}

impl ClientInfo {
    /// Reads a `User-Agent` header.
    pub fn from_user_agent(header: Option<&HeaderValue>) -> Self {
        let bytes = header.map(HeaderValue::as_bytes).unwrap_or_default();
        let printable = bytes.iter().filter(|byte| matches!(byte, b' '..=b'~')).take(CHARACTERS);
        let text: String = printable.map(|byte| char::from(*byte)).collect();
        Self { client: Some(text.trim().to_owned()).filter(|text| !text.is_empty()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_is_shortened_printable_ascii() {
        let read = |bytes: &[u8]| ClientInfo::from_user_agent(Some(&HeaderValue::from_bytes(bytes).unwrap())).client;
        assert_eq!(read(b"curl/8.5.0").as_deref(), Some("curl/8.5.0"));
        assert_eq!(read("a\tb\u{202E}c\u{e9}d".as_bytes()).as_deref(), Some("abcd"));
        assert_eq!(read(&[b'x'; 300]).unwrap().len(), CHARACTERS);
        assert_eq!((read(b""), read("\u{e9} ".as_bytes())), (None, None));
        assert_eq!(ClientInfo::from_user_agent(None), ClientInfo::default());
    }
}
