//! Resource properties as they are in a resolved template.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FunctionProperties {
    #[serde(default = "default_timeout")]
    pub(super) timeout: u64,
    #[serde(default = "default_memory")]
    pub(super) memory_size: f64,
    #[serde(default)]
    pub(super) environment: EnvironmentProperties,
    #[serde(default)]
    pub(super) events: BTreeMap<String, EventProperties>,
    #[serde(default)]
    pub(super) policies: Value,
    pub(super) role: Option<String>,
}

/// Lambda's own default.
fn default_timeout() -> u64 {
    3
}

/// Lambda's own default, in megabytes.
fn default_memory() -> f64 {
    128.0
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct EnvironmentProperties {
    pub(super) variables: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventProperties {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) properties: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueEvent {
    pub(super) queue: String,
    #[serde(default = "default_batch_size")]
    pub(super) batch_size: i32,
    #[serde(default)]
    pub(super) function_response_types: Vec<String>,
    #[serde(default)]
    pub(super) scaling_config: ScalingConfig,
}

fn default_batch_size() -> i32 {
    10
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamEvent {
    pub(super) stream: String,
    pub(super) starting_position: String,
    #[serde(default = "default_stream_batch_size")]
    pub(super) batch_size: usize,
    #[serde(default)]
    pub(super) maximum_batching_window_in_seconds: u64,
    #[serde(default)]
    pub(super) filter_criteria: FilterCriteria,
    pub(super) maximum_retry_attempts: Option<i64>,
    pub(super) maximum_record_age_in_seconds: Option<i64>,
    #[serde(default)]
    pub(super) bisect_batch_on_function_error: bool,
    #[serde(default)]
    pub(super) function_response_types: Vec<String>,
    #[serde(default)]
    pub(super) destination_config: DestinationConfig,
}

fn default_stream_batch_size() -> usize {
    100
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct FilterCriteria {
    pub(super) filters: Vec<FilterProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FilterProperties {
    pub(super) pattern: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DestinationConfig {
    pub(super) on_failure: Option<OnFailure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnFailure {
    pub(super) destination: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct ScalingConfig {
    pub(super) maximum_concurrency: usize,
}

impl Default for ScalingConfig {
    fn default() -> Self {
        // Lambda starts with five pollers for an SQS queue
        // (https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html).
        Self { maximum_concurrency: 5 }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WebSocketProperties {
    #[serde(default = "default_stage")]
    pub(super) stage_name: String,
    pub(super) route_selection_expression: String,
    pub(super) routes: BTreeMap<String, WebSocketRouteProperties>,
}

fn default_stage() -> String {
    "default".to_owned()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WebSocketRouteProperties {
    pub(super) function_arn: String,
    pub(super) route_response_selection_expression: Option<String>,
}
