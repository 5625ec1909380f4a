//! The destination for failures of a stream event source: a queue.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::record::{Record, Shard};
use crate::description::{ACCOUNT, REGION};

/// The queue for discarded batches.
pub(crate) struct DeadLetters {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) queue_url: String,
}

/// A batch that is discarded.
pub(super) struct Discarded<'a> {
    pub(super) records: &'a [Record],
    pub(super) function: &'a str,
    pub(super) failures: u64,
    pub(super) is_exhausted: bool,
    pub(super) shard: &'a Shard,
}

impl DeadLetters {
    /// Sends the position of a discarded batch, without its content, as Lambda does.
    pub(super) async fn send(&self, batch: &Discarded<'_>) {
        let Discarded { records, function, failures, is_exhausted, shard } = batch;
        let date = |seconds: f64| {
            let date = DateTime::<Utc>::from_timestamp_millis((seconds * 1000.0) as i64).unwrap_or_default();
            date.to_rfc3339_opts(SecondsFormat::Millis, true)
        };
        let (first, last) = (&records[0], &records[records.len() - 1]);
        let body = json!({
            "requestContext": {
                "requestId": uuid::Uuid::new_v4().to_string(),
                "functionArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"),
                "condition": if *is_exhausted { "RetryAttemptsExhausted" } else { "MaximumRecordAgeExceeded" },
                "approximateInvokeCount": failures,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "DDBStreamBatchInfo": {
                "shardId": shard.id,
                "startSequenceNumber": first.sequence_number,
                "endSequenceNumber": last.sequence_number,
                "approximateArrivalOfFirstRecord": date(first.created),
                "approximateArrivalOfLastRecord": date(last.created),
                "batchSize": records.len(),
                "streamArn": shard.stream_arn,
            },
        });
        let request = self.client.send_message().queue_url(&self.queue_url).message_body(body.to_string());
        if let Err(error) = request.send().await {
            let error = aws_sdk_sqs::error::DisplayErrorContext(&error);
            tracing::error!(%error, "a discarded batch could not be sent to the destination for failures");
        }
    }
}
