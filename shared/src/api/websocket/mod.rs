//! The WebSocket API: what happens on a socket, the actions that clients send, and the frames that answer them.

mod action;
mod connect;
mod delete;
mod edit;
mod frame;
mod message;
mod ping;
mod react;
mod read;
mod request;
mod send;
mod subscribe;
mod typing;
mod unsubscribe;

pub use action::action_names;
pub use connect::ConnectRequest;
pub use frame::{ClientFrame, error_frame};

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

/// The response to a [`SocketEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketResponse {
    /// The socket may open, with this subprotocol if any.
    Accepted(Option<&'static str>),
    /// The client is sent this frame.
    Frame(String),
    /// The client is sent nothing.
    Nothing,
}
