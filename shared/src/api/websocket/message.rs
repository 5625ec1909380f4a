//! What `edit`, `delete` and `react` have in common: they change a message.

use serde::Serialize;

use super::{request::required_text, response::SocketResponse};
use crate::{
    Result,
    chats::access::ChatAccess,
    ids::{ChatUri, EntryId},
    input::fields::Fields,
};

/// Which message an action changes.
#[derive(Debug)]
pub(super) struct MessageChange {
    pub(super) uri: String,
    pub(super) id: Result<EntryId>,
    /// The client's own name for the request.
    pub(super) key: Option<String>,
}

/// That a message was changed, with what identifies the request.
#[derive(Serialize)]
#[serde(tag = "type", rename = "done")]
struct Done<'a> {
    action: &'static str,
    uri: &'a ChatUri,
    id: EntryId,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl MessageChange {
    pub(super) fn read(fields: &Fields) -> Result<Self> {
        Ok(Self {
            uri: required_text(fields, "uri")?,
            id: fields.required_entry_id("id"),
            key: fields.get("key").and_then(|key| key.as_str()).map(str::to_owned),
        })
    }
}

/// The answer to a change of a message.
pub(super) fn done(
    action: &'static str,
    access: &ChatAccess,
    id: EntryId,
    key: Option<&str>,
) -> Result<SocketResponse> {
    SocketResponse::frame(&Done { action, uri: &access.chat()?.uri, id, key })
}
