//! The HTTP and WebSocket APIs: requests in, responses out.

pub mod http;
pub mod websocket;
