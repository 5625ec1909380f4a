//! What happens on a socket.

use super::{connect::ConnectRequest, frame::ClientFrame};
use crate::ids::ConnectionId;

/// What happens on a socket.
#[derive(Clone, Debug)]
pub enum SocketEvent {
    /// A client asks for a socket.
    Connect(ConnectRequest),
    /// A client has sent a frame.
    Message(ClientFrame),
    /// A socket has closed.
    Disconnect(ConnectionId),
}
