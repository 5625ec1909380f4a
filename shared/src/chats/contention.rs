//! Requests that contend for a chat's log or for a message.

use std::time::Duration;

use backon::ExponentialBuilder;

/// How long an append contends with others before the caller gets a 503, well before API Gateway's limit of 30 seconds.
pub(super) const CONTENTION: Duration = Duration::from_secs(8);

/// The back-off of requests that contend.
pub(super) fn back_off() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(8))
        .with_max_delay(Duration::from_millis(400))
        .with_factor(1.5)
        .with_jitter()
}
