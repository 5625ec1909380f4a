//! HTTP servers on loopback.

mod hyper_errors;
mod limits;
mod listener;
mod response;

pub(crate) use limits::BodyError;
pub use limits::TimeLimits;
pub(crate) use listener::serve;
pub(crate) use response::{message, request_id, unreadable};
