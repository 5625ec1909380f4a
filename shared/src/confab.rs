//! The state that every operation shares: the clients of AWS, and the limits.

use std::sync::OnceLock;

use crate::{
    Error, Result,
    aws::{sockets::Sockets, table::Table},
    chats::publish::{DeadLetters, Deliveries, Exchange},
    environment::Environment,
    limits::Limits,
};

/// What a function works with: one client per AWS service, built once per sandbox.
///
/// Every function needs the table. The other clients are built on first use, so a cold start pays only for what it uses, although
/// every function has the same environment.
#[derive(Debug)]
pub struct Confab {
    environment: Environment,
    table: Table,
    limits: Limits,
    exchange: OnceLock<Option<Exchange>>,
    sockets: OnceLock<Option<Sockets>>,
    deliveries: OnceLock<Option<Deliveries>>,
    dead_letters: OnceLock<Option<DeadLetters>>,
}

impl Confab {
    /// Reads `TABLE_NAME` and the limits. The clients built on first use read `TOPIC_ARN`, `WEBSOCKET_ENDPOINT`,
    /// `DELIVERY_QUEUE_URL` and `DEAD_LETTER_QUEUE_URL`.
    ///
    /// # Errors
    /// When `TABLE_NAME` is not set, or a limit is not a number.
    pub fn new(environment: &Environment) -> Result<Self> {
        Ok(Self {
            environment: environment.clone(),
            table: Table::new(environment)?,
            limits: Limits::new(environment)?,
            exchange: OnceLock::new(),
            sockets: OnceLock::new(),
            deliveries: OnceLock::new(),
            dead_letters: OnceLock::new(),
        })
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn exchange(&self) -> Result<&Exchange> {
        self.on_first_use(&self.exchange, Exchange::new, "TOPIC_ARN")
    }

    pub(crate) fn sockets(&self) -> Result<&Sockets> {
        self.on_first_use(&self.sockets, Sockets::new, "WEBSOCKET_ENDPOINT")
    }

    pub(crate) fn deliveries(&self) -> Result<&Deliveries> {
        self.on_first_use(&self.deliveries, Deliveries::new, "DELIVERY_QUEUE_URL")
    }

    pub(crate) fn dead_letters(&self) -> Result<&DeadLetters> {
        self.on_first_use(&self.dead_letters, DeadLetters::new, "DEAD_LETTER_QUEUE_URL")
    }

    /// The client, built now if it has not been yet; `build` returns none where `variable` is not set.
    fn on_first_use<'a, T>(
        &self,
        client: &'a OnceLock<Option<T>>,
        build: fn(&Environment) -> Option<T>,
        variable: &str,
    ) -> Result<&'a T> {
        let client = client.get_or_init(|| build(&self.environment));
        client.as_ref().ok_or_else(|| Error::internal(format!("{variable} is not set")))
    }
}
