//! The state that every operation shares: the clients of AWS, and the limits.

use crate::{
    Error, Result,
    aws::{sockets::Sockets, table::Table},
    chats::publish::{DeadLetters, Deliveries, Exchange},
    environment::Environment,
    limits::Limits,
};

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
