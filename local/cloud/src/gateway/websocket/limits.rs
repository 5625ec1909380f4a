//! API Gateway's limits
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html>).

use std::time::Duration;

pub(super) const FRAME_BYTES: usize = 32 * 1024;
pub(crate) const MESSAGE_BYTES: usize = 128 * 1024;
pub(super) const IDLE: Duration = Duration::from_secs(10 * 60);
pub(super) const LIFETIME: Duration = Duration::from_secs(2 * 3600);
