//! The integer ids of users and chats that the wire format shows, each issued from one item.

use serde::Deserialize;

use crate::{
    Confab, Error, Result,
    aws::table::{Write, read},
    key::{Key, Partition},
};

/// A sequence of ids.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdSequence {
    User,
    Chat,
}

#[derive(Deserialize)]
struct LastId {
    last_id: u64,
}

impl IdSequence {
    fn key(self) -> Key {
        let name = match self {
            Self::User => "user",
            Self::Chat => "chat",
        };
        Partition::Counter.key(name, "COUNTER")
    }

    /// Continues behind `id`, if `last_id` is still the last one that was issued.
    pub(crate) fn skip_to(self, id: u64, last_id: u64) -> Write {
        Write::update(self.key(), "SET last_id = :id")
            .when("attribute_not_exists(last_id) OR last_id = :last")
            .number(":id", id)
            .number(":last", last_id)
            .otherwise(|_| {
                Error::Rejected(
                    "Others registered or started chats while the dump was compared with the table. Nothing was written; try again.",
                )
            })
    }
}

impl Confab {
    /// The last id that was issued, or 0.
    pub(crate) async fn last_issued_id(&self, sequence: IdSequence) -> Result<u64> {
        let last: Option<LastId> = self.table().get(sequence.key()).await?;
        Ok(last.map_or(0, |last| last.last_id))
    }

    /// Issues the next id. An id that is not used then leaves a gap, as a database's sequence does.
    pub(crate) async fn next_id(&self, sequence: IdSequence) -> Result<u64> {
        let write = Write::update(sequence.key(), "ADD last_id :one").number(":one", 1);
        let item = self.table().apply(write).await?.ok_or_else(|| Error::internal("a sequence without its last id"))?;
        Ok(read::<LastId>(item)?.last_id)
    }
}
