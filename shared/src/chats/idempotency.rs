//! Idempotency keys, and the records of what was posted with them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::message::NewMessage;
use crate::{
    Error, Result,
    aws::table::Write,
    date::Date,
    ids::{ChatUri, EntryId, UserId},
    key::{Key, Partition},
};

/// How long a key is remembered, in seconds: a day.
const REMEMBERED_SECONDS: i64 = 24 * 3600;

/// A client's name for a request, so that repeating it does not post twice: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl FromStr for IdempotencyKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::Malformed("An idempotency key has 1 to 255 visible ASCII characters.".to_owned())),
        }
    }
}

/// The message that was posted with an idempotency key, as stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IdempotencyRecord {
    pub(crate) id: EntryId,
    pub(crate) fingerprint: String,
    expires_at: i64,
}

impl IdempotencyRecord {
    pub(crate) fn key(uri: &ChatUri, user_id: UserId, key: &IdempotencyKey) -> Key {
        Partition::IdempotencyKey.key(format!("{uri}#{user_id}#{}", key.0), "KEY")
    }

    /// Records a message. It fails with [`Error::AlreadyDone`] if the key has been used.
    pub(crate) fn put(key: Key, id: EntryId, message: &NewMessage, salt: &str, create_date: Date) -> Result<Write> {
        let expires_at = create_date.epoch_seconds() + REMEMBERED_SECONDS;
        let record = Self { id, fingerprint: message.fingerprint(salt), expires_at };
        Ok(Write::put(key, &record)?.if_absent().otherwise(|_| Error::AlreadyDone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_cannot_reach_into_each_other(user in 0..20_u64, key in "[ -~]{1,20}", other_user in 0..20_u64, other in "[ -~]{1,20}") {
            let uri: ChatUri = "0123456789abcde".parse().unwrap();
            let place = |user, key: &str| IdempotencyRecord::key(&uri, UserId(user), &key.parse().unwrap());
            prop_assert_eq!(place(user, &key) == place(other_user, &other), (user, &key) == (other_user, &other));
        }
    }
}
