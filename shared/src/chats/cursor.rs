//! Delivery cursors: how far a chat's log has been delivered to its sockets.

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Result,
    aws::table::Write,
    ids::{ChatUri, EntryId},
    key::{Key, Partition},
};

/// A cursor as stored.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct DeliveryCursor {
    #[serde(default)]
    pub(crate) last_id: EntryId,
    /// Whether the chat has ever had more subscribers than are served directly.
    #[serde(default)]
    pub(crate) is_large: bool,
}

impl DeliveryCursor {
    pub(crate) fn key(uri: &ChatUri) -> Key {
        Partition::Cursor.key(uri, "FANOUT")
    }

    /// Marks a log as delivered up to there.
    pub(crate) fn put(uri: &ChatUri, last_id: EntryId) -> Result<Write> {
        Write::put(Self::key(uri), &Self { last_id, is_large: false })
    }
}

impl Confab {
    /// Moves a cursor forward, and never backward: a fan-out that was given up may still be running.
    pub(crate) async fn move_cursor(&self, uri: &ChatUri, last_id: EntryId) -> Result<()> {
        let write = Write::update(DeliveryCursor::key(uri), "SET last_id = :id")
            .when("attribute_not_exists(last_id) OR last_id < :id")
            .number(":id", last_id);
        self.table().attempt(write).await.map(drop)
    }

    /// Marks a chat as large, for good.
    pub(crate) async fn mark_large(&self, uri: &ChatUri) -> Result<()> {
        let mark = Write::update(DeliveryCursor::key(uri), "SET is_large = :yes").serialized(":yes", &true)?;
        self.table().apply(mark).await.map(drop)
    }
}
