//! Events of the table's stream.

use std::time::Instant;

use aws_lambda_events::dynamodb::{Event, EventRecord};
use confab_shared::{Confab, Result, ids::SequenceNumber, key::Key, realtime::stream::StreamRecord};
use lambda_runtime::{BoxFuture, Error};

use super::answer::BatchAnswer;

/// Handles changes in their order, and returns the sequence number of the first that must be retried.
pub(super) type Handler = for<'a> fn(&'a Confab, &'a [StreamRecord]) -> BoxFuture<'a, Option<SequenceNumber>>;

/// Responds to a batch of changes.
pub(super) async fn respond(
    handle: Handler,
    confab: &Confab,
    event: &str,
    deadline: Instant,
) -> Result<BatchAnswer, Error> {
    let event: Event = serde_json::from_str(event)?;
    let records = event.records.into_iter().map(record).collect::<Result<Vec<_>>>()?;
    let failed = match tokio::time::timeout_at(deadline.into(), handle(confab, &records)).await {
        Ok(failed) => failed,
        Err(_) => records.first().map(|record| record.sequence_number.clone()),
    };
    Ok(BatchAnswer::of(failed))
}

fn record(record: EventRecord) -> Result<StreamRecord> {
    Ok(StreamRecord {
        sequence_number: record.change.sequence_number.unwrap_or_default().into(),
        key: serde_dynamo::from_item::<_, Key>(record.change.keys)?,
        item: (record.event_name != "REMOVE").then_some(record.change.new_image),
        old: (record.event_name != "INSERT").then_some(record.change.old_image),
    })
}
