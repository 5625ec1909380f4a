//! How much the cloud behaves like AWS: limits, latencies and permissions that the embedded services do not have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How much the cloud behaves like AWS. By default it has no latencies and no limits, but delivers batches as AWS does;
/// [`LikeAws::preset`] has AWS's.
///
/// docs/like-aws.md lists the settings, their values in the preset, and AWS's documentation of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct LikeAws {
    /// The mean latency of a read from DynamoDB, in milliseconds.
    pub dynamodb_read_ms: u64,
    /// The mean latency of a single write or a batch of writes, in milliseconds.
    pub dynamodb_write_ms: u64,
    /// The mean latency of a transaction, in milliseconds.
    pub dynamodb_transaction_ms: u64,
    /// A transaction fails if another transaction or write of the same item is in progress, and so does the write.
    pub dynamodb_conflicts: bool,
    /// Read units per second of one partition key, before requests are throttled.
    pub dynamodb_partition_reads: Option<u32>,
    /// Write units per second of one partition key, before requests are throttled.
    pub dynamodb_partition_writes: Option<u32>,
    /// Requests per second of `@connections`, before they are throttled.
    pub connections_rate: Option<u32>,
    /// Requests that `@connections` takes at once, above the rate.
    pub connections_burst: Option<u32>,
    /// A frame above 32 KB closes its socket with the code 1009.
    pub connections_frame_limit: bool,
    /// SNS and SQS reject characters outside XML's.
    pub messages_characters: bool,
    /// SNS and SQS check the size of a batch and the ids of its entries.
    pub messages_batches: bool,
    /// A receive returns up to ten messages of one message group.
    pub messages_group_batches: bool,
    /// Messages per second that a message group of a topic takes, and requests per second that one of a queue takes,
    /// before requests are throttled.
    pub messages_group_rate: Option<u32>,
    /// Concurrent executions of all functions, before invocations are throttled.
    pub lambda_concurrency: Option<u32>,
    /// The throttling settings of the template's stages are applied.
    pub stage_throttling: bool,
    /// A path with a trailing slash is another path. Open on AWS, so the preset has it off.
    pub literal_slashes: bool,
    /// `WWW-Authenticate` arrives as `x-amzn-remapped-www-authenticate`. Open on AWS, so the preset has it off.
    pub remap_www_authenticate: bool,
    /// A function may do what the template's policies allow it, and nothing else.
    pub permissions: bool,
}

impl Default for LikeAws {
    fn default() -> Self {
        Self {
            dynamodb_read_ms: 0,
            dynamodb_write_ms: 0,
            dynamodb_transaction_ms: 0,
            dynamodb_conflicts: false,
            dynamodb_partition_reads: None,
            dynamodb_partition_writes: None,
            connections_rate: None,
            connections_burst: None,
            connections_frame_limit: false,
            messages_characters: false,
            messages_batches: false,
            messages_group_batches: true,
            messages_group_rate: None,
            lambda_concurrency: None,
            stage_throttling: false,
            literal_slashes: false,
            remap_www_authenticate: false,
            permissions: false,
        }
    }
}

impl LikeAws {
    /// Everything as AWS documents it, with the default quotas of an account.
    pub fn preset() -> Self {
        Self {
            dynamodb_read_ms: 4,
            dynamodb_write_ms: 5,
            dynamodb_transaction_ms: 12,
            dynamodb_conflicts: true,
            dynamodb_partition_reads: Some(3_000),
            dynamodb_partition_writes: Some(1_000),
            connections_rate: Some(10_000),
            connections_burst: Some(5_000),
            connections_frame_limit: true,
            messages_characters: true,
            messages_batches: true,
            messages_group_batches: true,
            messages_group_rate: Some(300),
            lambda_concurrency: Some(1_000),
            stage_throttling: true,
            literal_slashes: false,
            remap_www_authenticate: false,
            permissions: true,
        }
    }

    /// With other values for some settings, which are named as in docs/like-aws.md.
    ///
    /// # Errors
    /// When there is no such setting, or it has no such value.
    pub fn with<'a>(self, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, String> {
        let Ok(Value::Object(mut all)) = serde_json::to_value(self) else { return Ok(Self::default()) };
        for (name, value) in settings {
            let value = match value {
                "off" if matches!(all.get(name), Some(Value::Bool(_))) => Value::Bool(false),
                "on" => Value::Bool(true),
                "off" => Value::Null,
                other => other.parse().unwrap_or_else(|_| other.into()),
            };
            let one = Map::from_iter([(name.to_owned(), value.clone())]);
            serde_json::from_value::<Self>(Value::Object(one)).map_err(|error| format!("{name}: {error}"))?;
            all.insert(name.to_owned(), value);
        }
        serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn settings_change_the_preset() {
        let changed = [("dynamodb-read-ms", "0"), ("permissions", "off"), ("lambda-concurrency", "off")];
        let like_aws = LikeAws::preset().with(changed).unwrap();
        let expected =
            LikeAws { dynamodb_read_ms: 0, permissions: false, lambda_concurrency: None, ..LikeAws::preset() };
        assert_eq!(like_aws, expected);
        let like_aws = LikeAws::default().with([("literal-slashes", "on"), ("connections-rate", "50")]).unwrap();
        assert_eq!(like_aws, LikeAws { literal_slashes: true, connections_rate: Some(50), ..LikeAws::default() });
    }

    #[test]
    fn a_wrong_setting_is_an_error_that_names_it() {
        let wrong =
            [("weather", "on"), ("permissions", "50"), ("connections-rate", "fast"), ("dynamodb-read-ms", "off")];
        for (name, value) in wrong {
            let error = LikeAws::default().with([(name, value)]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }
}
