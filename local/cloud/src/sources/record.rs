//! Records of a stream, and the shard that has them.

use serde_json::Value;

/// A record, as functions receive it, with its position in the stream.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) sequence_number: String,
    /// Seconds since the epoch.
    pub(super) created: f64,
    pub(super) event: Value,
}

/// The shard of a stream; the embedded DynamoDB has one for each stream.
pub(super) struct Shard {
    pub(super) id: String,
    pub(super) stream_arn: String,
}
