//! The DynamoDB Streams event source: reads a table's stream in order and feeds a function with what its filter lets through.
//!
//! As Lambda does: a batch is gathered up to its size or its window; when it fails it is tried again, from the record that the
//! function names on, or by halves; what has failed too often or grown too old goes to the destination for failures, and the
//! stream goes on (<https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html>). How far a source
//! has come is kept in a table beside the data, so that with `--data` it goes on from there after a restart.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, SecondsFormat, Utc};
use dynoxide::Database;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    description::{ACCOUNT, REGION, StreamSource},
    lambda::Lambda,
};

/// How often the stream is looked at; Lambda does so four times a second
/// (<https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html#dynamodb-polling-and-batching>).
const POLL: Duration = Duration::from_millis(250);
/// A batch that failed is tried again after this, then after twice as long, and so on up to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
const READ_AT_A_TIME: usize = 1000;
/// The table that keeps how far each source has come.
const CHECKPOINTS: &str = "laptop-cloud-checkpoints";

/// Reads a stream until `stopped`.
pub(crate) fn serve(
    source: StreamSource,
    database: &Database,
    failures: Option<(aws_sdk_sqs::Client, String)>,
    lambda: &Arc<Lambda>,
    stopped: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let reader = Reader { source, database: database.clone(), failures, lambda: lambda.clone() };
    let stopped = stopped.clone();
    tasks.spawn(async move {
        let name = reader.lambda.name(&reader.source.function).to_owned();
        if let Err(error) = reader.run(stopped).await {
            tracing::error!(error, "the stream of {} reaches {name} no more", reader.source.table);
        }
    });
}

/// Creates the table of the checkpoints, unless it is there.
pub(crate) fn prepare(database: &Database) -> Result<(), String> {
    let creation = json!({
        "TableName": CHECKPOINTS,
        "AttributeDefinitions": [{ "AttributeName": "source", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "source", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    match database.create_table(typed(creation)?) {
        Ok(_) | Err(dynoxide::errors::DynoxideError::ResourceInUseException(_)) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn typed<T: DeserializeOwned>(request: Value) -> Result<T, String> {
    serde_json::from_value(request).map_err(|error| error.to_string())
}

struct Reader {
    source: StreamSource,
    database: Database,
    /// The client and the queue for what failed for good.
    failures: Option<(aws_sdk_sqs::Client, String)>,
    lambda: Arc<Lambda>,
}

/// A record and its place in the stream.
#[derive(Clone)]
struct Record {
    sequence_number: String,
    created: f64,
    event: Value,
}

impl Reader {
    async fn run(&self, stopped: watch::Receiver<bool>) -> Result<(), String> {
        let (stream_arn, shard_id) = self.shard()?;
        let mut iterator = self.iterator(&stream_arn, &shard_id)?;
        let mut waiting: Vec<Record> = Vec::new();
        let mut since = Instant::now();
        loop {
            let read = self.read(&iterator, &stream_arn).await?;
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
                if !self.hand_over(&batch, &shard_id, &stream_arn, &stopped).await {
                    return Ok(());
                }
                self.checkpoint(&batch[batch.len() - 1].sequence_number)?;
            }
            if let Some(last) = last.filter(|_| waiting.is_empty()) {
                self.checkpoint(&last)?;
                continue;
            }
            if *stopped.borrow() {
                return Ok(());
            }
            let _ =
                tokio::time::timeout(POLL.min(self.source.window.max(POLL / 10)), crate::stop(stopped.clone())).await;
        }
    }

    fn shard(&self) -> Result<(String, String), String> {
        let streams = self.database.list_streams(typed(json!({ "TableName": self.source.table }))?);
        let streams = streams.map_err(|error| error.to_string())?.streams;
        let arn = streams.first().ok_or("the table has no stream")?.stream_arn.clone();
        let described = self.database.describe_stream(typed(json!({ "StreamArn": arn }))?);
        let described = serde_json::to_value(described.map_err(|error| error.to_string())?);
        let described = described.map_err(|error| error.to_string())?;
        // The embedded DynamoDB has one shard to a stream.
        let shard = described["StreamDescription"]["Shards"][0]["ShardId"].as_str().ok_or("the stream has no shard")?;
        Ok((arn, shard.to_owned()))
    }

    fn iterator(&self, stream_arn: &str, shard_id: &str) -> Result<String, String> {
        let mut request = json!({ "StreamArn": stream_arn, "ShardId": shard_id });
        match self.checkpointed()? {
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
        let request = typed(json!({ "ShardIterator": iterator, "Limit": READ_AT_A_TIME }))?;
        let database = self.database.clone();
        let answer = tokio::task::spawn_blocking(move || database.get_records(request)).await;
        // It is only cut off when everything is, and then there is nothing to say.
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

    /// Has a batch handled, until all of it is or goes to the failures; `false` if the cloud stops before that.
    async fn hand_over(
        &self,
        batch: &[Record],
        shard_id: &str,
        stream_arn: &str,
        stopped: &watch::Receiver<bool>,
    ) -> bool {
        // What is still to be handled, in order: each part with how often it has failed.
        let mut parts: Vec<(&[Record], u64)> = vec![(batch, 0)];
        let mut pause = PAUSES.0;
        while let Some((part, failures)) = parts.pop() {
            let (rest, whole) = match self.invoke(part).await {
                Handled::All => {
                    pause = PAUSES.0;
                    continue;
                }
                Handled::UpTo(place) => (&part[place..], false),
                Handled::Nothing => (part, true),
            };
            let failures = if rest.len() < part.len() { 1 } else { failures + 1 };
            if self.is_given_up(rest, failures) {
                tracing::error!(records = rest.len(), "a batch of the stream is given up");
                self.bury(rest, failures, shard_id, stream_arn).await;
                continue;
            }
            if whole && self.source.bisects && rest.len() > 1 {
                let (front, back) = rest.split_at(rest.len() / 2);
                // Halving does not count as a try.
                parts.extend([(back, failures - 1), (front, failures - 1)]);
            } else {
                parts.push((rest, failures));
            }
            if tokio::time::timeout(pause, crate::stop(stopped.clone())).await.is_ok() {
                return false;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
        true
    }

    fn is_given_up(&self, records: &[Record], failures: u64) -> bool {
        let age = Utc::now().timestamp_millis() as f64 / 1000.0 - records[0].created;
        self.source.retries.is_some_and(|retries| failures > retries)
            || self.source.record_age.is_some_and(|most| age > most.as_secs_f64())
    }

    async fn invoke(&self, records: &[Record]) -> Handled {
        let name = self.lambda.name(&self.source.function);
        let events: Vec<&Value> = records.iter().map(|record| &record.event).collect();
        match self.lambda.invoke(&self.source.function, &json!({ "Records": events })).await {
            Ok(answer) => {
                tracing::debug!(records = records.len(), "stream → {name}");
                if self.source.reports_failures { handled(&answer, records) } else { Handled::All }
            }
            Err(error) => {
                tracing::error!(function = name, %error, "a batch failed");
                Handled::Nothing
            }
        }
    }

    /// Tells the destination for failures which part of the stream was given up, as Lambda does: not what was in it.
    async fn bury(&self, records: &[Record], failures: u64, shard_id: &str, stream_arn: &str) {
        let Some((client, queue_url)) = &self.failures else { return };
        let date = |seconds: f64| {
            let date = DateTime::<Utc>::from_timestamp_millis((seconds * 1000.0) as i64).unwrap_or_default();
            date.to_rfc3339_opts(SecondsFormat::Millis, true)
        };
        let (first, last) = (&records[0], &records[records.len() - 1]);
        let name = self.lambda.name(&self.source.function);
        let condition = match self.source.retries {
            Some(retries) if failures > retries => "RetryAttemptsExhausted",
            _ => "MaximumRecordAgeExceeded",
        };
        let body = json!({
            "requestContext": {
                "requestId": uuid::Uuid::new_v4().to_string(),
                "functionArn": format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"),
                "condition": condition,
                "approximateInvokeCount": failures,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "DDBStreamBatchInfo": {
                "shardId": shard_id,
                "startSequenceNumber": first.sequence_number,
                "endSequenceNumber": last.sequence_number,
                "approximateArrivalOfFirstRecord": date(first.created),
                "approximateArrivalOfLastRecord": date(last.created),
                "batchSize": records.len(),
                "streamArn": stream_arn,
            },
        });
        if let Err(error) = client.send_message().queue_url(queue_url).message_body(body.to_string()).send().await {
            tracing::error!(error = %aws_sdk_sqs::error::DisplayErrorContext(&error), "a failure could not be told");
        }
    }

    fn checkpointed(&self) -> Result<Option<String>, String> {
        let request = json!({ "TableName": CHECKPOINTS, "Key": { "source": { "S": self.name() } } });
        let answer = self.database.get_item(typed(request)?).map_err(|error| error.to_string())?;
        let answer = serde_json::to_value(answer).map_err(|error| error.to_string())?;
        Ok(answer["Item"]["sequence_number"]["S"].as_str().map(str::to_owned))
    }

    fn checkpoint(&self, sequence_number: &str) -> Result<(), String> {
        let item = json!({ "source": { "S": self.name() }, "sequence_number": { "S": sequence_number } });
        let request = json!({ "TableName": CHECKPOINTS, "Item": item });
        self.database.put_item(typed(request)?).map(drop).map_err(|error| error.to_string())
    }

    fn name(&self) -> String {
        format!("{} → {}", self.source.table, self.source.function)
    }
}

/// What was read, and where to read on.
struct Read {
    records: Vec<Record>,
    next: String,
}

/// How much of a batch was handled.
#[derive(Debug, PartialEq, Eq)]
enum Handled {
    All,
    /// All before this place.
    UpTo(usize),
    Nothing,
}

/// What a function says of a batch: the first record that it names and all behind it are to be tried again. Naming one that is not
/// in the batch fails all of it, as on Lambda.
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
