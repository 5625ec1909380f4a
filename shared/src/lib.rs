//! Confab's domain: accounts, chat sessions and their logs, the table they live in, the exchange they are published
//! to, and the words spoken over HTTP and WebSocket.
//!
//! Nothing here knows Lambda: a function parses its event, calls one method of [`Confab`], and answers.

#![deny(clippy::unwrap_used)]

mod amendment;
mod attempts;
pub mod batch;
pub mod change;
pub mod chats;
pub mod connection;
pub mod date;
mod delivery;
mod email;
pub mod environment;
pub mod error;
pub mod exchange;
pub mod export;
pub mod fanout;
pub mod fields;
mod hashing;
pub mod history;
pub mod http;
pub mod import;
mod json;
mod limits;
pub mod log;
pub mod login;
pub mod marker;
mod members;
mod membership;
pub mod message;
pub mod notice;
pub mod page;
pub mod password;
mod presence;
mod rate_limit;
pub mod reaction;
pub mod registration;
mod revocation;
pub mod search;
pub mod session;
pub mod sockets;
pub mod table;
pub mod tally;
pub mod token;
mod unread;
pub mod user;
mod username;
pub mod visit;
pub mod websocket;

use environment::Environment;
use exchange::{DeadLetters, Deliveries, Exchange};
use limits::Limits;
use sockets::Sockets;
use table::Table;

pub use error::Error;

/// A result of the domain.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a function works with: one client per AWS service that its environment names, built once per sandbox.
///
/// The template names in each function's environment only what that function uses, so a cold start pays for no more.
#[derive(Debug)]
pub struct Confab {
    table: Table,
    exchange: Option<Exchange>,
    sockets: Option<Sockets>,
    deliveries: Option<Deliveries>,
    dead_letters: Option<DeadLetters>,
    limits: Limits,
}

impl Confab {
    /// Builds the clients from `TABLE_NAME` and, where set, `TOPIC_ARN`, `WEBSOCKET_ENDPOINT`, `DELIVERY_QUEUE_URL` and
    /// `DEAD_LETTER_QUEUE_URL`; the limits from `TOKEN_DAYS`, `POSTS_PER_MINUTE`, `ATTEMPTS_PER_ADDRESS` and `LARGE_ROOM`.
    ///
    /// # Errors
    /// When a variable that every function needs is missing, or a limit is no number.
    pub fn new(environment: &Environment) -> Result<Self> {
        Ok(Self {
            table: Table::new(environment)?,
            exchange: Exchange::new(environment),
            sockets: Sockets::new(environment),
            deliveries: Deliveries::new(environment),
            dead_letters: DeadLetters::new(environment),
            limits: Limits::new(environment)?,
        })
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn exchange(&self) -> Result<&Exchange> {
        self.exchange.as_ref().ok_or_else(|| Error::internal("TOPIC_ARN is not set"))
    }

    pub(crate) fn sockets(&self) -> Result<&Sockets> {
        self.sockets.as_ref().ok_or_else(|| Error::internal("WEBSOCKET_ENDPOINT is not set"))
    }

    pub(crate) fn deliveries(&self) -> Result<&Deliveries> {
        self.deliveries.as_ref().ok_or_else(|| Error::internal("DELIVERY_QUEUE_URL is not set"))
    }

    pub(crate) fn dead_letters(&self) -> Result<&DeadLetters> {
        self.dead_letters.as_ref().ok_or_else(|| Error::internal("DEAD_LETTER_QUEUE_URL is not set"))
    }
}
