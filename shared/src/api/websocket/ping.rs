//! `ping`: keeps a socket open. A socket whose connection or token has expired gets an error.

use serde::Serialize;

use super::response::SocketResponse;
use crate::{Confab, Result, ids::ConnectionId};

#[derive(Debug)]
pub(super) struct Ping;

#[derive(Serialize)]
#[serde(tag = "type", rename = "pong")]
struct Pong {}

impl Ping {
    pub(super) async fn handle(self, confab: &Confab, connection_id: &ConnectionId) -> Result<SocketResponse> {
        confab.authenticate_connection(connection_id).await?;
        SocketResponse::frame(&Pong {})
    }
}
