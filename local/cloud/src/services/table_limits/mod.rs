//! DynamoDB's latencies and limits, which the embedded engine does not have: a request waits, may conflict with others
//! in progress, and may be throttled, before the engine gets it.

mod batch;
mod conflicts;
mod items;
mod operation;
mod rejection;
mod throughput;

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use dynoxide::{Database, actions::query::QueryRequest, types::capacity_wanted};
use http::{Response, StatusCode, request::Parts};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use super::dynamodb::{self, Engine};
use crate::like_aws::LikeAws;
use batch::LeftOut;
use conflicts::{Conflict, Conflicts};
use items::{ItemKey, NamedItem, Reader};
use operation::Operation;
use throughput::Throughput;

/// DynamoDB with AWS's latencies and limits, as far as they are set.
pub(super) struct LimitedDatabase {
    engine: Engine,
    latencies: Latencies,
    conflicts: Option<Conflicts>,
    throughput: Throughput,
    operations: TaskTracker,
}

/// The mean latencies, in milliseconds.
struct Latencies {
    read: u64,
    write: u64,
    transaction: u64,
}

impl LimitedDatabase {
    pub(super) fn new(database: Database, like_aws: &LikeAws) -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::new(database),
            latencies: Latencies {
                read: like_aws.dynamodb_read_ms,
                write: like_aws.dynamodb_write_ms,
                transaction: like_aws.dynamodb_transaction_ms,
            },
            conflicts: like_aws.dynamodb_conflicts.then(Conflicts::default),
            throughput: Throughput::new(like_aws.dynamodb_partition_reads, like_aws.dynamodb_partition_writes),
            operations: TaskTracker::new(),
        })
    }

    /// Answers a request.
    pub(super) async fn answer(self: &Arc<Self>, parts: &Parts, body: Bytes) -> Response<Body> {
        let operation = Operation::of(dynamodb::operation(parts)).filter(|_| !self.is_unlimited());
        let Some(operation) = operation else { return dynamodb::answer(&self.engine, parts, &body) };
        let (database, parts) = (self.clone(), parts.clone());
        // As on AWS, an operation is completed even if its caller goes away.
        let completed = self.operations.spawn(async move { database.limited(operation, &parts, body).await });
        let failed = |_| dynamodb::response(StatusCode::INTERNAL_SERVER_ERROR, "{}".to_owned());
        completed.await.unwrap_or_else(failed)
    }

    /// Waits for the operations in progress.
    pub(super) async fn complete(&self) {
        self.operations.close();
        self.operations.wait().await;
    }

    fn is_unlimited(&self) -> bool {
        let Latencies { read, write, transaction } = self.latencies;
        read + write + transaction == 0 && self.conflicts.is_none() && self.throughput.is_unlimited()
    }

    async fn limited(&self, operation: Operation, parts: &Parts, body: Bytes) -> Response<Body> {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let needs_items = self.conflicts.is_some() || !self.throughput.is_unlimited();
        let mut reader = Reader::new(&self.engine.database, !self.throughput.is_unlimited());
        let items = needs_items.then(|| reader.named(operation, &request)).flatten();
        let keys: Vec<ItemKey> = items.iter().flatten().map(|item| item.key.clone()).collect();
        let token = request["ClientRequestToken"].as_str();
        let begun = self.conflicts.as_ref().map(|conflicts| conflicts.begin(operation, &keys, token)).transpose();
        // A transaction's conditions are checked in its first phase, so one that fails is short
        // (https://www.usenix.org/conference/atc23/presentation/idziorek).
        let phase = self.latencies.of(operation) / 2;
        tokio::time::sleep(phase).await;
        let progress = match begun {
            Ok(progress) => progress,
            Err(conflict) => return rejected(operation, &conflict),
        };
        let left_out = progress.as_ref().map_or_else(|| vec![false; keys.len()], |progress| progress.left_out.clone());
        let answer = match items {
            Some(items) => self.named(operation, parts, body, request, &items, left_out),
            None if operation == Operation::Query && !self.throughput.is_unlimited() => self.query(parts, &body),
            None => dynamodb::answer(&self.engine, parts, &body),
        };
        if answer.status() == StatusCode::OK {
            tokio::time::sleep(phase).await;
        }
        answer
    }

    /// Passes a request to the engine whose items are known, without those that are left out of a batch.
    fn named(
        &self,
        operation: Operation,
        parts: &Parts,
        body: Bytes,
        mut request: Value,
        items: &[NamedItem],
        mut left_out: Vec<bool>,
    ) -> Response<Body> {
        let admits = |(item, left_out): (&NamedItem, &bool)| *left_out || self.throughput.admits(operation, item);
        let throttled: Vec<bool> = items.iter().zip(&left_out).map(|pair| !admits(pair)).collect();
        let hot = items.iter().zip(&throttled).find_map(|(item, throttled)| throttled.then_some(&item.key));
        let unprocessed = operation.unprocessed();
        if let Some(hot) = hot
            && (unprocessed.is_none() || throttled.iter().all(|throttled| *throttled))
        {
            return rejection::throttled(&self.engine.database, operation, hot, &throttled);
        }
        left_out.iter_mut().zip(throttled).for_each(|(left_out, throttled)| *left_out |= throttled);
        let Some(member) = unprocessed.filter(|_| left_out.contains(&true)) else {
            return dynamodb::answer(&self.engine, parts, &body);
        };
        let rest = LeftOut::take(&mut request, &left_out);
        let mut answer = match left_out.contains(&false) {
            true => match dynamodb::json(&self.engine.database, parts, &request) {
                Ok(answer) => answer,
                Err(error) => return *error,
            },
            false if operation == Operation::BatchGet => json!({ "Responses": {} }),
            false => json!({}),
        };
        rest.add_to(&mut answer, member);
        dynamodb::response(StatusCode::OK, answer.to_string())
    }

    /// What a query costs is known after it, and so is its partition, unless it finds nothing.
    fn query(&self, parts: &Parts, body: &Bytes) -> Response<Body> {
        let request = dynamodb::read::<QueryRequest>(body);
        let Some(mut request) = request.ok().filter(|request| request.index_name.is_none()) else {
            // It is not valid, or of an index, which has separate partitions.
            return dynamodb::answer(&self.engine, parts, body);
        };
        let table = request.table_name.clone();
        let is_wanted = capacity_wanted(request.return_consumed_capacity.as_deref());
        if !is_wanted {
            request.return_consumed_capacity = Some("TOTAL".to_owned());
        }
        let mut answer = match self.engine.database.query(request) {
            Ok(answer) => answer,
            Err(error) => return dynamodb::failed(&error),
        };
        let found = answer.last_evaluated_key.as_ref().or_else(|| answer.items.as_ref()?.first());
        let key = found.and_then(|found| Reader::new(&self.engine.database, false).partition(&table, found));
        let units = answer.consumed_capacity.as_ref().map_or(0.0, |consumed| consumed.capacity_units);
        if let Some(key) = key
            && !self.throughput.admits_read(&key, units)
        {
            return rejection::throttled(&self.engine.database, Operation::Query, &key, &[]);
        }
        if !is_wanted {
            answer.consumed_capacity = None;
        }
        match dynamodb::write(&answer) {
            Ok(answer) => dynamodb::response(StatusCode::OK, answer),
            Err(error) => dynamodb::failed(&error),
        }
    }
}

impl Latencies {
    /// The latency of an operation now: between half of the mean and one and a half.
    fn of(&self, operation: Operation) -> Duration {
        let mean = match operation {
            _ if operation.is_transaction() => self.transaction,
            _ if operation.is_write() => self.write,
            _ => self.read,
        };
        Duration::from_millis(mean).mul_f64(0.5 + fastrand::f64())
    }
}

fn rejected(operation: Operation, conflict: &Conflict) -> Response<Body> {
    match conflict {
        Conflict::SameTransaction => dynamodb::in_progress(),
        Conflict::Items(items) => rejection::conflict(operation, items),
    }
}
