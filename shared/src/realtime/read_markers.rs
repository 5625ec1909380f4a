//! Events of read markers: a chat is notified of all markers that have moved within a batch of the table's stream, in one
//! event.
//!
//! The batching window is five seconds. An event for each marker would be sent to all members whenever one of them reads,
//! which grows with the square of their number.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::{
    Confab, Result,
    chats::{chat::Chat, ephemeral::EphemeralEvent, member::MEMBERS_SHOWN},
    ids::{ChatUri, EntryId, UserId},
    json,
};

impl Confab {
    /// Broadcasts to where the read markers of some members have moved. In large chats they are not tracked.
    pub(super) async fn broadcast_read_markers(&self, uri: &ChatUri, read: &BTreeMap<UserId, EntryId>) -> Result<()> {
        let chat: Option<Chat> = self.table().get(Chat::key(uri)).await?;
        if chat.is_none_or(|chat| chat.member_count > MEMBERS_SHOWN) {
            return Ok(());
        }
        let event = EphemeralEvent::Read { uri, read };
        // Markers move forward only, so an event with the same content has nothing new.
        let digest = hex::encode(Sha256::digest(json::to_line(&event)?));
        self.publish(uri, format!("{uri}-read-{digest}"), &event).await
    }
}
