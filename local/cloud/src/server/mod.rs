//! HTTP servers on loopback.

mod hyper_errors;
mod in_process;
mod limits;
mod listener;
mod response;

pub(crate) use in_process::Servers;
pub(crate) use limits::BodyError;
pub use limits::TimeLimits;
pub(crate) use listener::{Answer, serve};
pub(crate) use response::{message, request_id, unreadable};
