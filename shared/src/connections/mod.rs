//! WebSocket connections: which ones are open, what they are subscribed to, and how they are closed.

pub(crate) mod close;
pub(crate) mod connection;
pub(crate) mod presence;
pub(crate) mod subscriber;
