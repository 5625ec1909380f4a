//! Responses to what happens on a socket.

/// The response to a [`super::SocketEvent`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketResponse {
    /// The socket may open, with this subprotocol if any.
    Accepted(Option<&'static str>),
    /// The client is sent this frame.
    Frame(String),
    /// The client is sent nothing.
    Nothing,
}
