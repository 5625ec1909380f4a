//! WebSocket connections: what is open, and what it is subscribed to.

pub(crate) mod connection;
pub(crate) mod revocation;
