//! Deadlines: each function responds before its time-out.

use std::time::{Duration, Instant, SystemTime};

use confab_shared::Result;
use lambda_runtime::Context;

/// When to stop working, so that there is time left to respond.
pub(super) fn deadline(context: &Context) -> Instant {
    const TO_RESPOND: Duration = Duration::from_secs(1);
    // `cargo lambda watch` sends a deadline long past, which counts as none.
    let left = context.deadline().duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(15));
    Instant::now() + left.saturating_sub(TO_RESPOND)
}

/// The result of a future, or [`confab_shared::Error::Busy`] at the deadline: the caller gets an answer before Lambda
/// cuts the function off and API Gateway gives up.
pub(super) async fn in_time<T>(deadline: Instant, future: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || confab_shared::Error::Busy(Some("the deadline has passed".into()));
    tokio::time::timeout_at(deadline.into(), future).await.unwrap_or_else(|_| Err(late()))
}
