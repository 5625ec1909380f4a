//! Identifiers: of users, chats and log entries, and those that AWS gives to connections, messages and stream records.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// A user's id: a positive integer below 2^53, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(pub u64);

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The highest id that JSON numbers represent exactly in every client.
pub const LAST_ID: u64 = (1 << 53) - 1;

/// The number of an entry in its chat's log, from 1 on. A message's id is the number of its entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntryId(pub u64);

impl EntryId {
    /// Before the first entry: no entry has this number.
    pub const NONE: Self = Self(0);
    /// The last number that an entry can have.
    pub const LAST: Self = Self(LAST_ID);

    /// The number after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number before this one; [`EntryId::NONE`] has none.
    pub(crate) fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether an entry of a log that ends with `last` can have this number.
    pub(crate) fn is_within(self, last: Self) -> bool {
        self > Self::NONE && self <= last
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const URI_DIGITS: usize = 15;

/// A chat's uri, by which it is found and joined: 15 random hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ChatUri(String);

/// A text that is not a chat's uri.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not a uri")]
pub struct InvalidUri;

impl ChatUri {
    /// A uri of random bytes.
    pub(crate) fn from_random(bytes: [u8; 8]) -> Self {
        let mut digits = hex::encode(bytes);
        digits.truncate(URI_DIGITS);
        Self(digits)
    }
}

impl FromStr for ChatUri {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Self, InvalidUri> {
        let is_uri = text.len() == URI_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_uri { Ok(Self(text.to_owned())) } else { Err(InvalidUri) }
    }
}

impl<'de> Deserialize<'de> for ChatUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl fmt::Display for ChatUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Declares opaque identifiers, which others issue.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
            #[serde(transparent)]
            pub struct $name(String);

            impl $name {
                /// The identifier as AWS writes it.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl From<String> for $name {
                fn from(text: String) -> Self {
                    Self(text)
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    self.0.fmt(f)
                }
            }
        )*
    };
}

opaque! {
    /// API Gateway's identifier of a WebSocket connection.
    ConnectionId;
    /// SQS's identifier of a message in a queue.
    MessageId;
    /// SQS's identifier of one receive of a message, by which the message is deleted.
    ReceiptHandle;
    /// The position of a record in a DynamoDB stream.
    SequenceNumber;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uri_of_random_bytes_is_one() {
        let uri = ChatUri::from_random([0x5a; 8]);
        assert_eq!(uri.to_string().parse::<ChatUri>().unwrap(), uri);
    }

    proptest! {
        #[test]
        fn only_fifteen_hex_digits_are_a_uri(text in "[0-9a-gA-F#/]{0,17}") {
            let is_one = text.len() == 15 && text.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c));
            prop_assert_eq!(text.parse::<ChatUri>().is_ok(), is_one);
        }
    }
}
