//! The DynamoDB Streams event source: reads a table's stream in order and invokes a function with the records that pass
//! its filter.
//!
//! As on Lambda, a batch is complete when it reaches its size or its window ends. A failed batch is retried, from the
//! first record that the function reports, or in halves. A batch that has failed too often or is too old goes to the
//! destination for failures, and the stream continues
//! (<https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use dynoxide::Database;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    checkpoints::{Checkpoint, typed},
    dead_letters::{DeadLetters, Discarded},
    record::{Record, Shard},
};
use crate::{
    description::{REGION, StreamSource},
    lambda::{InvokeError, Lambda},
    shutdown::{self, Stage},
};

/// The interval of polling; Lambda polls four times a second
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html#dynamodb-polling-and-batching>).
const POLL: Duration = Duration::from_millis(250);
/// The delay before the first retry of a batch. It doubles up to the maximum.
const FIRST_DELAY: Duration = Duration::from_millis(200);
const MAX_DELAY: Duration = Duration::from_secs(10);
const RECORDS_PER_READ: usize = 1000;
/// Reads a stream until the stage stops.
pub(crate) fn serve(
    source: StreamSource,
    database: &Database,
    dead_letters: Option<DeadLetters>,
    lambda: &Arc<Lambda>,
    stage: &mut Stage,
) {
    let checkpoint = Checkpoint::new(database, &source);
    let reader = Reader { source, database: database.clone(), checkpoint, dead_letters, lambda: lambda.clone() };
    let stopped = stage.stopped.clone();
    stage.tasks.spawn(async move {
        let name = reader.lambda.name(&reader.source.function).to_owned();
        if let Err(error) = reader.run(stopped).await {
            tracing::error!(
                error,
                "the event source stopped: the stream of {} no longer reaches {name}",
                reader.source.table
            );
        }
    });
}

struct Reader {
    source: StreamSource,
    database: Database,
    checkpoint: Checkpoint,
    dead_letters: Option<DeadLetters>,
    lambda: Arc<Lambda>,
}

impl Reader {
    async fn run(&self, stopped: watch::Receiver<bool>) -> Result<(), String> {
        let shard = self.shard()?;
        let mut iterator = self.iterator(&shard)?;
        let mut waiting: Vec<Record> = Vec::new();
        let mut since = Instant::now();
        loop {
            let read = self.read(&iterator, &shard.stream_arn).await?;
            let last = read.records.last().map(|record| record.sequence_number.clone());
            iterator = read.next;
            if waiting.is_empty() {
                since = Instant::now();
            }
            let wanted = read.records.into_iter().filter(|record| self.source.filter.lets_through(&record.event));
            waiting.extend(wanted);
            while waiting.len() >= self.source.batch_size
                || !waiting.is_empty() && (since.elapsed() >= self.source.window || *stopped.borrow())
            {
                let rest = waiting.split_off(waiting.len().min(self.source.batch_size));
                let batch = std::mem::replace(&mut waiting, rest);
                since = Instant::now();
                if !self.handle(&batch, &shard, &stopped).await {
                    return Ok(());
                }
                self.checkpoint.write(&batch[batch.len() - 1].sequence_number)?;
            }
            if let Some(last) = last.filter(|_| waiting.is_empty()) {
                self.checkpoint.write(&last)?;
                continue;
            }
            if *stopped.borrow() {
                return Ok(());
            }
            let _ = tokio::time::timeout(POLL.min(self.source.window.max(POLL / 10)), shutdown::wait(stopped.clone()))
                .await;
        }
    }

    fn shard(&self) -> Result<Shard, String> {
        let streams = self.database.list_streams(typed(json!({ "TableName": self.source.table }))?);
        let streams = streams.map_err(|error| error.to_string())?.streams;
        let arn = streams.first().ok_or("the table has no stream")?.stream_arn.clone();
        let described = self.database.describe_stream(typed(json!({ "StreamArn": arn }))?);
        let described = serde_json::to_value(described.map_err(|error| error.to_string())?);
        let described = described.map_err(|error| error.to_string())?;
        // The embedded DynamoDB has one shard to a stream.
        let shard = described["StreamDescription"]["Shards"][0]["ShardId"].as_str().ok_or("the stream has no shard")?;
        Ok(Shard { id: shard.to_owned(), stream_arn: arn })
    }

    fn iterator(&self, shard: &Shard) -> Result<String, String> {
        let mut request = json!({ "StreamArn": shard.stream_arn, "ShardId": shard.id });
        match self.checkpoint.read()? {
            Some(sequence_number) => {
                request["ShardIteratorType"] = json!("AFTER_SEQUENCE_NUMBER");
                request["SequenceNumber"] = json!(sequence_number);
            }
            None => request["ShardIteratorType"] = json!(self.source.starting_position),
        }
        let answer = self.database.get_shard_iterator(typed(request)?).map_err(|error| error.to_string())?;
        answer.shard_iterator.ok_or_else(|| "the shard has no iterator".to_owned())
    }

    async fn read(&self, iterator: &str, stream_arn: &str) -> Result<Read, String> {
        let request = typed(json!({ "ShardIterator": iterator, "Limit": RECORDS_PER_READ }))?;
        let database = self.database.clone();
        let answer = tokio::task::spawn_blocking(move || database.get_records(request)).await;
        // The task is only cancelled when the runtime shuts down.
        let Ok(answer) = answer else { std::future::pending().await };
        let answer = answer.map_err(|error| error.to_string())?;
        let records = answer.records.into_iter().map(|record| {
            let (sequence_number, created) =
                (record.dynamodb.sequence_number.clone(), record.dynamodb.approximate_creation_date_time);
            let mut event = serde_json::to_value(record).map_err(|error| error.to_string())?;
            event["awsRegion"] = json!(REGION);
            event["eventSourceARN"] = json!(stream_arn);
            Ok(Record { sequence_number, created, event })
        });
        let records = records.collect::<Result<_, String>>()?;
        Ok(Read { records, next: answer.next_shard_iterator.ok_or("the shard has ended")? })
    }

    /// Retries a batch until all records are handled or discarded. `false` if the cloud stops before that.
    async fn handle(&self, batch: &[Record], shard: &Shard, stopped: &watch::Receiver<bool>) -> bool {
        // The parts that are still to be handled, in order, each with its number of failures.
        let mut parts: Vec<(&[Record], u64)> = vec![(batch, 0)];
        let mut delay = FIRST_DELAY;
        while let Some((part, failures)) = parts.pop() {
            let ended = self.invoke(part).await;
            let (rest, whole) = match ended {
                Handled::All => {
                    delay = FIRST_DELAY;
                    continue;
                }
                Handled::UpTo(place) => (&part[place..], false),
                Handled::Nothing => (part, true),
                Handled::Throttled => (part, false),
            };
            let failures = match ended {
                Handled::Throttled => failures,
                _ if rest.len() < part.len() => 1,
                _ => failures + 1,
            };
            if self.is_discarded(rest, failures) {
                self.discard(rest, failures, shard).await;
                continue;
            }
            if whole && self.source.bisects && rest.len() > 1 {
                let (front, back) = rest.split_at(rest.len() / 2);
                // Halving does not count as a retry.
                parts.extend([(back, failures - 1), (front, failures - 1)]);
            } else {
                parts.push((rest, failures));
            }
            if tokio::time::timeout(delay, shutdown::wait(stopped.clone())).await.is_ok() {
                return false;
            }
            delay = (delay * 2).min(MAX_DELAY);
        }
        true
    }

    fn is_discarded(&self, records: &[Record], failures: u64) -> bool {
        let age = Utc::now().timestamp_millis() as f64 / 1000.0 - records[0].created;
        self.is_exhausted(failures) || self.source.record_age.is_some_and(|most| age > most.as_secs_f64())
    }

    async fn discard(&self, records: &[Record], failures: u64, shard: &Shard) {
        tracing::error!(records = records.len(), "a batch of the stream is discarded");
        if let Some(dead_letters) = &self.dead_letters {
            let function = self.lambda.name(&self.source.function);
            dead_letters
                .send(&Discarded { records, function, failures, is_exhausted: self.is_exhausted(failures), shard })
                .await;
        }
    }

    fn is_exhausted(&self, failures: u64) -> bool {
        self.source.retries.is_some_and(|retries| failures > retries)
    }

    async fn invoke(&self, records: &[Record]) -> Handled {
        let name = self.lambda.name(&self.source.function);
        let events: Vec<&Value> = records.iter().map(|record| &record.event).collect();
        match self.lambda.invoke(&self.source.function, &json!({ "Records": events })).await {
            Ok(answer) => {
                tracing::debug!(records = records.len(), "stream → {name}");
                if self.source.reports_failures { handled(&answer, records) } else { Handled::All }
            }
            Err(InvokeError::Throttled) => Handled::Throttled,
            Err(error) => {
                tracing::error!(function = name, %error, "a batch failed");
                Handled::Nothing
            }
        }
    }
}

/// Records and the iterator of the next read.
struct Read {
    records: Vec<Record>,
    next: String,
}

/// How much of a batch the function has handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handled {
    All,
    /// All before this place.
    UpTo(usize),
    Nothing,
    /// The function did not run, which is no failure of the batch.
    Throttled,
}

/// Evaluates a function's response: the first record that it reports and all after it are retried. As on Lambda, a
/// record that is not in the batch fails the whole batch.
fn handled(answer: &Value, records: &[Record]) -> Handled {
    let named: Vec<&str> = answer["batchItemFailures"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|failure| failure["itemIdentifier"].as_str().unwrap_or_default())
        .collect();
    let place = |number: &&str| records.iter().position(|record| record.sequence_number == **number);
    match named.iter().map(place).collect::<Option<Vec<usize>>>() {
        Some(places) => places.into_iter().min().map_or(Handled::All, Handled::UpTo),
        None => Handled::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_named_counts() {
        let record = |n: u32| Record { sequence_number: n.to_string(), created: 0.0, event: Value::Null };
        let records: Vec<Record> = (5..9).map(record).collect();
        let answer = |numbers: &[&str]| json!({ "batchItemFailures": numbers.iter().map(|n| json!({ "itemIdentifier": n })).collect::<Vec<_>>() });
        assert_eq!(handled(&json!(null), &records), Handled::All);
        assert_eq!(handled(&answer(&[]), &records), Handled::All);
        assert_eq!(handled(&answer(&["8", "6"]), &records), Handled::UpTo(1));
        assert_eq!(handled(&answer(&["5"]), &records), Handled::UpTo(0));
        assert_eq!(handled(&answer(&["6", "99"]), &records), Handled::Nothing);
        assert_eq!(handled(&answer(&[""]), &records), Handled::Nothing);
    }
}
