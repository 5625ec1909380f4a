//! The metrics of an invocation, and who and what it was about: for its log line and for CloudWatch.
//!
//! The domain records into a task-local, so that no function has an argument for it; the functions' runtime opens a
//! [`scope`] for each invocation and writes the result. Outside of a scope, recording does nothing.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value, json};

use crate::{
    date::Date,
    ids::{ChatUri, UserId},
};

tokio::task_local! {
    static METRICS: RefCell<Metrics>;
}

/// CloudWatch's limit of values of a metric in one document.
const VALUES: usize = 100;

/// A metric in CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    MessagesPosted,
    FramesSent,
    EntriesPerFrame,
    StaleConnections,
    /// From the entry's `create_date` to its last frame.
    DeliveryLag,
    TransactionRetries,
    /// Internal errors: what a caller is answered with 500 for, and what fails in the background.
    Failures,
}

impl Metric {
    fn name(self) -> String {
        format!("{self:?}")
    }

    fn unit(self) -> &'static str {
        match self {
            Self::DeliveryLag => "Milliseconds",
            _ => "Count",
        }
    }
}

/// What an invocation recorded.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// The authenticated caller.
    pub user_id: Option<UserId>,
    /// The action of a frame.
    pub action: Option<&'static str>,
    /// The chat of the request.
    pub uri: Option<ChatUri>,
    /// Calls of DynamoDB, without the SDK's own retries.
    pub dynamodb_calls: u64,
    metrics: BTreeMap<Metric, Vec<i64>>,
}

impl Metrics {
    /// The metrics as one document of CloudWatch's embedded metric format, or `None` without metrics
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
    pub fn metrics(&self, namespace: &str) -> Option<Value> {
        if self.metrics.is_empty() {
            return None;
        }
        let directive = json!({
            "Namespace": namespace,
            "Dimensions": [[]],
            "Metrics": self.metrics.keys().map(|metric| json!({ "Name": metric.name(), "Unit": metric.unit() })).collect::<Vec<_>>(),
        });
        let mut document = Map::new();
        document.insert(
            "_aws".to_owned(),
            json!({ "Timestamp": Date::now().epoch_milliseconds(), "CloudWatchMetrics": [directive] }),
        );
        for (metric, values) in &self.metrics {
            document.insert(metric.name(), json!(values));
        }
        Some(document.into())
    }
}

/// Collects what a future records.
pub async fn scope<T>(future: impl Future<Output = T>) -> (T, Metrics) {
    METRICS.scope(RefCell::default(), async { (future.await, METRICS.with(RefCell::take)) }).await
}

fn record(change: impl FnOnce(&mut Metrics)) {
    let _ = METRICS.try_with(|metrics| change(&mut metrics.borrow_mut()));
}

pub(crate) fn called_dynamodb() {
    record(|metrics| metrics.dynamodb_calls += 1);
}

pub(crate) fn user(user_id: UserId) {
    record(|metrics| metrics.user_id = Some(user_id));
}

pub(crate) fn action(name: &'static str) {
    record(|metrics| metrics.action = Some(name));
}

pub(crate) fn chat(uri: &ChatUri) {
    record(|metrics| metrics.uri = Some(uri.clone()));
}

pub(crate) fn count(metric: Metric, value: i64) {
    record(|metrics| {
        let values = metrics.metrics.entry(metric).or_default();
        if values.len() < VALUES {
            values.push(value);
        } else if metric != Metric::DeliveryLag
            && let Some(last) = values.last_mut()
        {
            // A count is a sum, so what does not fit is added to the last value. A hundred lags are a sufficient
            // sample.
            *last += value;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scope_collects_what_is_recorded() {
        count(Metric::FramesSent, 1);
        let ((), metrics) = scope(async {
            called_dynamodb();
            user(UserId(5));
            count(Metric::FramesSent, 2);
            count(Metric::FramesSent, 3);
            count(Metric::DeliveryLag, 40);
        })
        .await;
        assert_eq!((metrics.dynamodb_calls, metrics.user_id), (1, Some(UserId(5))));
        let document = metrics.metrics("Confab").unwrap();
        assert_eq!((&document["FramesSent"], &document["DeliveryLag"]), (&json!([2, 3]), &json!([40])));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        let expected =
            json!([{"Name": "FramesSent", "Unit": "Count"}, {"Name": "DeliveryLag", "Unit": "Milliseconds"}]);
        assert_eq!((&directive["Metrics"], &directive["Namespace"]), (&expected, &json!("Confab")));
        assert_eq!(scope(async {}).await.1.metrics("Confab"), None);
    }

    #[tokio::test]
    async fn no_metric_has_more_values_than_fit() {
        let ((), metrics) = scope(async { (0..250).for_each(|_| count(Metric::FramesSent, 1)) }).await;
        let values = metrics.metrics("Confab").unwrap()["FramesSent"].as_array().unwrap().clone();
        assert_eq!((values.len(), values.iter().filter_map(Value::as_i64).sum::<i64>()), (100, 250));
    }
}
