//! Events of read markers: a chat is notified of all markers that have moved within a batch of the table's stream, in one
//! event.
//!
//! The batching window is five seconds. An event for each marker would be sent to all members whenever one of them reads,
//! which grows with the square of their number.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{
    Confab, Result,
    chats::{
        chat::Chat,
        ephemeral::EphemeralEvent,
        member::{MEMBERS_SHOWN, Member},
    },
    ids::{ChatUri, EntryId, UserId},
    json,
};

impl Confab {
    /// Broadcasts where the read markers of some members are now. In large chats they are not tracked.
    pub(super) async fn broadcast_read_markers(&self, uri: &ChatUri, user_ids: &BTreeSet<UserId>) -> Result<()> {
        let keys = user_ids.iter().map(|user_id| Member::key(uri, *user_id));
        let mut found = self.table().get_many(keys.chain([Chat::key(uri)])).await?;
        let chat: Option<Chat> = found.take(&Chat::key(uri))?;
        let members = found.all::<Member>()?.into_values();
        let read: BTreeMap<UserId, EntryId> = members.map(|member| (member.user_id, member.read_id)).collect();
        if read.is_empty() || chat.is_none_or(|chat| chat.member_count > MEMBERS_SHOWN) {
            return Ok(());
        }
        let event = EphemeralEvent::Read { uri, read: &read };
        // Markers move forward only, so an event with the same content has nothing new.
        let digest = hex::encode(Sha256::digest(json::to_line(&event)?));
        self.publish(uri, format!("{uri}-read-{digest}"), &event).await
    }
}
