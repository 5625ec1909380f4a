//! AWS's prices, and what a usage costs.
//!
//! Dollars per million units in us-east-1, on demand, as of November 2026, from AWS's pricing pages as secondary sources
//! quote them. The free tier is not taken off.

use confab_cloud::{Amount, Usage};

const WEBSOCKET_MESSAGE: f64 = 1.00;
const HTTP_REQUEST: f64 = 1.00;
const READ_UNIT: f64 = 0.125;
const WRITE_UNIT: f64 = 0.625;
const TOPIC_REQUEST: f64 = 0.30;
const QUEUE_REQUEST: f64 = 0.50;
const MAIL: f64 = 100.0;
const INVOCATION: f64 = 0.20;
const GIGABYTE_SECOND: f64 = 13.33;
const LOG_GIGABYTE: f64 = 0.50;
/// Dollars per million minutes that a socket is open.
pub const CONNECTION_MINUTE: f64 = 0.25;

/// Bytes of a function's log for an invocation: its line, the document of metrics, and CloudWatch's 26 bytes for each. A
/// post has 625, a frame 670, the fan-out 620, the relay 294, as `bootstrap` writes them.
const LOG_BYTES: f64 = 600.0;
/// The time of an invocation apart from calls: 1.6 ms of CPU time, at a seventh of a core with 256 MB.
const OWN_MILLISECONDS: f64 = 11.0;
/// Calls of `@connections` that run concurrently.
const CONCURRENT_POSTS: f64 = 32.0;

/// Dollars for a million times a usage, by service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub gateway: f64,
    pub dynamodb: f64,
    pub messaging: f64,
    pub lambda: f64,
    pub logs: f64,
}

impl Cost {
    pub fn of(usage: &Usage) -> Self {
        let mut cost = Self::default();
        for ((_, operation), amount) in usage {
            cost.add(operation, *amount);
        }
        cost
    }

    fn add(&mut self, operation: &str, Amount { calls, units }: Amount) {
        let (service, operation) = operation.split_once(':').unwrap();
        let calls = calls as f64;
        match service {
            "http" => self.gateway += units * HTTP_REQUEST,
            "websocket" => self.gateway += units * WEBSOCKET_MESSAGE,
            "dynamodb" => self.dynamodb += units * if is_read(operation) { READ_UNIT } else { WRITE_UNIT },
            "sns" => self.messaging += units * TOPIC_REQUEST,
            "ses" => self.messaging += units * MAIL,
            "sqs" => self.messaging += units * QUEUE_REQUEST,
            "lambda" => {
                self.lambda += calls * INVOCATION + units * OWN_MILLISECONDS / 1_000.0 * GIGABYTE_SECOND;
                self.logs += calls * LOG_BYTES * LOG_GIGABYTE / 1_000.0;
            }
            other => panic!("{other} has no price"),
        }
        // The caller waits meanwhile; all but the functions with passwords, which are not measured here, have 256 MB.
        self.lambda += calls * milliseconds(service, operation) / 1_000.0 * 0.25 * GIGABYTE_SECOND;
    }

    pub fn total(&self) -> f64 {
        self.gateway + self.dynamodb + self.messaging + self.lambda + self.logs
    }

    pub fn times(&self, factor: f64) -> Self {
        Self {
            gateway: self.gateway * factor,
            dynamodb: self.dynamodb * factor,
            messaging: self.messaging * factor,
            lambda: self.lambda * factor,
            logs: self.logs * factor,
        }
    }

    pub fn plus(&self, other: &Self) -> Self {
        Self {
            gateway: self.gateway + other.gateway,
            dynamodb: self.dynamodb + other.dynamodb,
            messaging: self.messaging + other.messaging,
            lambda: self.lambda + other.lambda,
            logs: self.logs + other.logs,
        }
    }
}

fn is_read(operation: &str) -> bool {
    ["GetItem", "BatchGetItem", "Query", "TransactGetItems", "Scan"].contains(&operation)
}

/// How long a function waits for a call: the latencies of `--like-aws` for DynamoDB, and ten milliseconds for the others,
/// which is an assumption.
fn milliseconds(service: &str, operation: &str) -> f64 {
    match (service, operation) {
        ("dynamodb", "TransactWriteItems" | "TransactGetItems") => 12.0,
        ("dynamodb", operation) if is_read(operation) => 4.0,
        ("dynamodb", _) => 5.0,
        ("websocket", "Post") => 10.0 / CONCURRENT_POSTS,
        ("sns", _) => 10.0,
        ("sqs", "SendMessage" | "ChangeMessageVisibilityBatch") => 10.0,
        _ => 0.0,
    }
}
