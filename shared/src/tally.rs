//! What an invocation did, for its log line and its metrics: whom it was for, how often it called DynamoDB, what it counted.
//!
//! The domain notes as it goes; the functions' runtime keeps the tally of each invocation and writes it down at its end. Where
//! nobody keeps one, noting does nothing.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value, json};

use crate::{date::Date, session::Uri, user::UserId};

tokio::task_local! {
    static TALLY: RefCell<Tally>;
}

/// CloudWatch takes at most so many values of a metric in one document.
const VALUES: usize = 100;

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    MessagesPosted,
    FramesSent,
    EntriesPerFrame,
    StaleConnections,
    /// From the entry's `create_date` to its last frame.
    DeliveryLag,
    TransactionRetries,
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

/// What an invocation did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Who was calling, once that was known.
    pub user_id: Option<UserId>,
    /// Which chat it was about.
    pub uri: Option<Uri>,
    /// How often DynamoDB was called; the SDK's own retries do not count.
    pub dynamodb_calls: u64,
    metrics: BTreeMap<Metric, Vec<i64>>,
}

impl Tally {
    /// Keeps the tally of what a future does.
    pub async fn keep<T>(future: impl Future<Output = T>) -> (T, Self) {
        TALLY.scope(RefCell::default(), async { (future.await, TALLY.with(RefCell::take)) }).await
    }

    /// The metrics as one document of CloudWatch's embedded metric format, or nothing where nothing was counted
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

fn note(change: impl FnOnce(&mut Tally)) {
    // Outside of a kept future there is nothing to note in.
    let _ = TALLY.try_with(|tally| change(&mut tally.borrow_mut()));
}

pub(crate) fn called_dynamodb() {
    note(|tally| tally.dynamodb_calls += 1);
}

pub(crate) fn user(user_id: UserId) {
    note(|tally| tally.user_id = Some(user_id));
}

pub(crate) fn chat(uri: &Uri) {
    note(|tally| tally.uri = Some(uri.clone()));
}

pub(crate) fn count(metric: Metric, value: i64) {
    note(|tally| {
        let values = tally.metrics.entry(metric).or_default();
        if values.len() < VALUES {
            values.push(value);
        } else if metric != Metric::DeliveryLag
            && let Some(last) = values.last_mut()
        {
            // A count is a sum, so what does not fit any more is added to what is there. Of lags a hundred tell enough.
            *last += value;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_noted_is_kept() {
        count(Metric::FramesSent, 1);
        let ((), tally) = Tally::keep(async {
            called_dynamodb();
            user(UserId(5));
            count(Metric::FramesSent, 2);
            count(Metric::FramesSent, 3);
            count(Metric::DeliveryLag, 40);
        })
        .await;
        assert_eq!((tally.dynamodb_calls, tally.user_id), (1, Some(UserId(5))));
        let document = tally.metrics("Confab").unwrap();
        assert_eq!((&document["FramesSent"], &document["DeliveryLag"]), (&json!([2, 3]), &json!([40])));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        let expected =
            json!([{"Name": "FramesSent", "Unit": "Count"}, {"Name": "DeliveryLag", "Unit": "Milliseconds"}]);
        assert_eq!((&directive["Metrics"], &directive["Namespace"]), (&expected, &json!("Confab")));
        assert_eq!(Tally::keep(async {}).await.1.metrics("Confab"), None);
    }

    #[tokio::test]
    async fn no_metric_has_more_values_than_fit() {
        let ((), tally) = Tally::keep(async { (0..250).for_each(|_| count(Metric::FramesSent, 1)) }).await;
        let values = tally.metrics("Confab").unwrap()["FramesSent"].as_array().unwrap().clone();
        assert_eq!((values.len(), values.iter().filter_map(Value::as_i64).sum::<i64>()), (100, 250));
    }
}
