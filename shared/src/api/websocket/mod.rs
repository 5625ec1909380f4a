//! The WebSocket API: events of a socket, the actions that clients send in frames, and the responses.

mod action;
mod connect;
mod delete;
mod edit;
mod event;
mod frame;
mod message;
mod ping;
mod react;
mod read;
mod request;
mod response;
mod send;
mod subscribe;
mod typing;
mod unsubscribe;

pub use action::action_names;
pub use connect::ConnectRequest;
pub use event::SocketEvent;
pub use frame::{ClientFrame, error_frame};
pub use response::SocketResponse;
