//! The export of the original Django application, as `manage.py dumpdata auth.user chat` writes it.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufReader, Read},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::{
    date::Date,
    ids::{ChatUri, LAST_ID},
};

/// DynamoDB's items have at most 400 KB, and the rest of an entry takes less than the difference
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>).
pub(super) const MESSAGE_BYTES: usize = 400_000;

/// An object of any model.
#[derive(Deserialize)]
struct Object {
    model: String,
    #[serde(default)]
    pk: Value,
    fields: Box<RawValue>,
}

#[derive(Deserialize)]
pub(super) struct DjangoUser {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) email: String,
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) is_active: bool,
    pub(super) date_joined: Date,
}

#[derive(Deserialize)]
pub(super) struct DjangoChat {
    pub(super) uri: ChatUri,
    pub(super) owner: Reference,
    pub(super) create_date: Date,
    pub(super) update_date: Date,
}

/// A membership or, with a message, a message.
#[derive(Deserialize)]
pub(super) struct DjangoEntry {
    pub(super) chat_session: u64,
    pub(super) user: Reference,
    pub(super) message: Option<String>,
    pub(super) create_date: Date,
}

/// A reference to a user: by id or, after `dumpdata --natural-foreign`, by name.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a user is named by an id, or by a list of a username")]
pub(super) enum Reference {
    Id(u64),
    Name((String,)),
}

/// The objects of an export with their ids, in any order.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) users: Vec<(u64, DjangoUser)>,
    pub(super) chats: Vec<(u64, DjangoChat)>,
    pub(super) entries: Vec<(u64, DjangoEntry)>,
    pub(super) skipped: BTreeMap<String, u64>,
}

impl<'de> Visitor<'de> for Objects {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, as dumpdata writes it")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(Object { model, pk, fields }) = list.next_element()? {
            self.add(&model, &pk, &fields).map_err(|problem| A::Error::custom(format!("{model} {pk}: {problem}")))?;
        }
        Ok(self)
    }
}

impl Objects {
    /// Reads an export.
    ///
    /// # Errors
    /// Where it is not one.
    pub(super) fn read(reader: impl Read) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_reader(BufReader::new(reader));
        let objects = deserializer.deserialize_seq(Self::default())?;
        deserializer.end().map(|()| objects)
    }

    fn add(&mut self, model: &str, pk: &Value, fields: &RawValue) -> Result<(), String> {
        match model {
            "auth.user" => self.users.push((id(pk)?, read(fields)?)),
            "chat.chatsession" => self.chats.push((id(pk)?, read(fields)?)),
            "chat.chatsessionmember" => self.entries.push((id(pk)?, DjangoEntry { message: None, ..read(fields)? })),
            "chat.chatsessionmessage" => {
                let message: DjangoEntry = read(fields)?;
                let length = message.message.as_ref().ok_or("there is no message")?.len();
                if length > MESSAGE_BYTES {
                    return Err(format!("a message of {length} bytes does not fit the table"));
                }
                self.entries.push((id(pk)?, message));
            }
            _ => *self.skipped.entry(model.to_owned()).or_default() += 1,
        }
        Ok(())
    }
}

fn id(pk: &Value) -> Result<u64, &'static str> {
    pk.as_u64().filter(|id| (1..=LAST_ID).contains(id)).ok_or("this is no id")
}

fn read<T: DeserializeOwned>(fields: &RawValue) -> Result<T, String> {
    serde_json::from_str(fields.get()).map_err(|error| error.to_string())
}
