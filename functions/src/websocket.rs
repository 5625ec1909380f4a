//! The WebSocket API: opens sockets, does what frames ask for, and drops the connections of sockets that have closed.

use confab_shared::{
    Confab, Result,
    api::websocket::{SocketEvent, SocketResponse},
};

pub(crate) async fn handle(confab: &Confab, event: &SocketEvent) -> Result<SocketResponse> {
    match event {
        SocketEvent::Connect(request) => {
            let (connection_id, token) = (&request.connection_id, request.token()?);
            confab.connect(connection_id, token.as_ref(), request.uri.as_deref()).await?;
            Ok(SocketResponse::Accepted(request.protocol()))
        }
        SocketEvent::Message(frame) => confab.act(frame).await,
        SocketEvent::Disconnect(connection_id) => {
            confab.drop_connection(connection_id).await?;
            Ok(SocketResponse::Nothing)
        }
    }
}
