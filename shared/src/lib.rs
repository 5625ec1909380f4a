//! Confab's domain: accounts, chats and their logs, the table they are stored in, the exchange they are published to,
//! and the HTTP and WebSocket APIs.
//!
//! Nothing here knows Lambda: a function parses its event, calls one method of [`Confab`], and answers. Each folder
//! uses only those above it in this list.

#![deny(clippy::unwrap_used)]

pub mod date;
pub mod ids;
pub mod metrics;

pub mod error;

pub mod environment;
mod json;
pub mod key;
mod limits;
mod random;

pub mod input;

mod aws;

mod identity;

mod confab;
mod id_sequence;

pub mod auth;

mod connections;

pub mod accounts;

pub mod chats;

pub mod realtime;

pub mod personal_data;

pub mod api;

pub mod import;

pub use confab::Confab;
pub use error::{Error, Result};
