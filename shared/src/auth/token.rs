//! Tokens: the bearer credentials of clients. The table holds only their hashes.
//!
//! A token is 64 hexadecimal digits: the user's id in 16, and a secret of 192 random bits in 48. With the id, all keys
//! that a request needs are known from the start, so one read authenticates it.

use std::fmt;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::client_info::ClientInfo;
use crate::{
    Error, Result,
    date::Date,
    ids::UserId,
    key::{Key, Partition},
    random,
};

const ID_DIGITS: usize = 16;
const SECRET_BYTES: usize = 24;
const DIGITS: usize = ID_DIGITS + 2 * SECRET_BYTES;
const PUBLIC_ID_DIGITS: usize = 16;

/// A token as a client holds it. Printing it with `{:?}` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    user_id: UserId,
    text: String,
}

/// The hash of a token, under which it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenHash(String);

/// A token's public id: the first 16 digits of its hash. It is safe to show, since a token has too many random bits to be
/// found from its hash, and only the token itself authenticates. Two tokens of one user have the same id by chance only,
/// at odds of one in 10^16 for fifty tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TokenId(String);

/// A token as stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredToken {
    pub(crate) epoch: u64,
    pub(crate) create_date: Date,
    pub(crate) expires_at: i64,
    #[serde(flatten)]
    pub(crate) client: ClientInfo,
    /// When it expires even if it is used, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends_at: Option<i64>,
}

/// A token as stored, with its key.
#[derive(Debug, Deserialize)]
pub(crate) struct KeyedToken {
    #[serde(flatten)]
    pub(crate) key: Key,
    #[serde(flatten)]
    pub(crate) token: StoredToken,
}

impl Token {
    /// A new token for a user.
    ///
    /// # Errors
    /// When the operating system provides no random bytes.
    pub fn issue(user_id: UserId) -> Result<Self> {
        Ok(Self { user_id, text: format!("{:016x}{}", user_id.0, random::hex::<SECRET_BYTES>()?) })
    }

    /// Reads a token as it stands in a header.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] when it does not have the format of a token.
    pub fn parse(text: &str) -> Result<Self> {
        let is_token = text.len() == DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let user_id = text.get(..ID_DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match user_id {
            Some(user_id) if is_token => Ok(Self { user_id: UserId(user_id), text: text.to_owned() }),
            _ => Err(Error::BadCredentials("Invalid token.")),
        }
    }

    /// Reads an `Authorization` header. Another scheme than `Token` counts as no header, as in the original.
    ///
    /// # Errors
    /// [`Error::BadCredentials`] where the header is malformed.
    pub fn from_authorization(header: Option<&HeaderValue>) -> Result<Option<Self>> {
        let Some(header) = header else { return Ok(None) };
        let mut words = header.as_bytes().split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        if !words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"token")) {
            return Ok(None);
        }
        let token = words.next().ok_or(Error::BadCredentials("Invalid token header. No credentials provided."))?;
        if words.next().is_some() {
            return Err(Error::BadCredentials("Invalid token header. Token string should not contain spaces."));
        }
        // A gateway that passes headers on as JSON has U+FFFD where the bytes were not UTF-8.
        let token = std::str::from_utf8(token).ok().filter(|token| !token.contains('\u{FFFD}')).ok_or(
            Error::BadCredentials("Invalid token header. Token string should not contain invalid characters."),
        )?;
        Self::parse(token).map(Some)
    }

    /// The user whose token this claims to be.
    pub fn user_id(&self) -> UserId {
        self.user_id
    }

    /// Its hash, under which it is stored.
    pub fn hash(&self) -> TokenHash {
        TokenHash(hex::encode(Sha256::digest(self.text.as_bytes())))
    }

    /// The token itself, for the one response that carries it.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(of user {})", self.user_id)
    }
}

impl TokenHash {
    /// The token's public id.
    pub(crate) fn public_id(&self) -> TokenId {
        TokenId(self.0.chars().take(PUBLIC_ID_DIGITS).collect())
    }
}

impl TokenId {
    /// Reads a public id; none if the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_id =
            text.len() == PUBLIC_ID_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_id.then(|| Self(text.to_owned()))
    }

    /// With what the keys of its tokens begin.
    pub(crate) fn prefix(&self) -> &str {
        &self.0
    }
}

impl KeyedToken {
    /// Its public id.
    pub(crate) fn public_id(&self) -> TokenId {
        TokenHash(self.key.sk.clone()).public_id()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StoredToken {
    pub(crate) fn key(user_id: UserId, hash: &TokenHash) -> Key {
        Partition::Tokens.key(user_id, hash.0.clone())
    }

    /// A token that is valid until it has not been used for `lifetime` seconds, or the password changes, and at most
    /// until `ends_at`.
    pub(crate) fn new(epoch: u64, lifetime: i64, client: ClientInfo, ends_at: Option<i64>) -> Self {
        let create_date = Date::now();
        let expires_at = create_date.epoch_seconds() + lifetime;
        let expires_at = ends_at.map_or(expires_at, |ends_at| ends_at.min(expires_at));
        Self { epoch, create_date, expires_at, client, ends_at }
    }

    /// When it was used last, give or take a thirtieth of its lifetime, since it is not extended more often. A lifetime
    /// that was another one until recently gives another date, but none before it was issued and none in the future.
    pub(crate) fn last_use(&self, lifetime: i64) -> Date {
        let extended = Date::from_epoch_seconds(self.expires_at - lifetime);
        extended.unwrap_or(self.create_date).min(Date::now()).max(self.create_date)
    }

    /// When it expires if it is used now; `None` while that is not worth a write, which is for a thirtieth of its
    /// lifetime.
    pub(crate) fn extended(&self, lifetime: i64) -> Option<i64> {
        let expires_at = Date::now().epoch_seconds() + lifetime;
        let expires_at = self.ends_at.map_or(expires_at, |ends_at| ends_at.min(expires_at));
        (expires_at - self.expires_at > lifetime / 30).then_some(expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authorization(bytes: &[u8]) -> Result<Option<Token>> {
        Token::from_authorization(Some(&HeaderValue::from_bytes(bytes).unwrap()))
    }

    #[test]
    fn a_token_has_the_id_of_its_user() {
        let token = Token::issue(UserId(77)).unwrap();
        let read = authorization(format!("tOkEn\t {} ", token.reveal()).as_bytes()).unwrap().unwrap();
        assert_eq!((read.user_id(), read.hash()), (UserId(77), token.hash()));
        assert_ne!(token.hash(), Token::issue(UserId(77)).unwrap().hash());
        assert!(!format!("{token:?}").contains(&token.reveal()[16..]));
    }

    #[test]
    fn a_public_id_is_the_start_of_the_hash() {
        let hash = Token::issue(UserId(77)).unwrap().hash();
        assert_eq!(TokenId::parse(&hash.to_string()[..16]), Some(hash.public_id()));
        for text in ["", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef0", "0123456789abcdeg"] {
            assert_eq!(TokenId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_use_is_between_issue_and_now() {
        let day = 24 * 3600;
        let mut token = StoredToken::new(0, 30 * day, ClientInfo::default(), None);
        assert_eq!(token.last_use(30 * day), token.create_date);
        assert_eq!(token.last_use(60 * day), token.create_date);
        assert!(token.last_use(day) <= Date::now());
        token.create_date = Date::from_epoch_seconds(0).unwrap();
        token.expires_at -= 3 * day;
        let days = (Date::now().epoch_seconds() - token.last_use(30 * day).epoch_seconds()) / day;
        assert_eq!(days, 3);
    }

    #[test]
    fn upper_case_is_another_token() {
        let token = Token::issue(UserId(0xabc)).unwrap().reveal().to_uppercase();
        assert!(Token::parse(&token).is_err());
    }

    #[test]
    fn a_token_is_not_extended_beyond_its_end() {
        let now = Date::now().epoch_seconds();
        let token = StoredToken::new(0, 3000, ClientInfo::default(), Some(now + 1000));
        assert_eq!((token.expires_at, token.extended(3000)), (now + 1000, None));
        let old = |ends_at| StoredToken {
            expires_at: now + 500,
            ..StoredToken::new(0, 3000, ClientInfo::default(), ends_at)
        };
        assert_eq!(old(Some(now + 2000)).extended(3000), Some(now + 2000));
        assert!(old(None).extended(3000) >= Some(now + 3000));
        assert_eq!(old(Some(now + 550)).extended(3000), None, "not worth a write");
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_rejected(bytes in proptest::collection::vec(prop_oneof![32_u8..127, 128_u8..=255], 0..90)) {
            let _ = authorization(&bytes);
        }

        #[test]
        fn any_text_is_read_or_rejected(text in "\\PC{0,70}") {
            let _ = Token::parse(&text);
        }
    }
}
