//! What is used of AWS's services, in the units that AWS bills.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// What was used, by who used it and the operation. The former is a function's name, or empty for clients and for what
/// AWS does by itself; the latter is `<service>:<operation>`, such as `dynamodb:PutItem`.
pub type Usage = BTreeMap<(String, String), Amount>;

/// How much was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Requests, invocations or messages.
    pub calls: u64,
    /// What they are billed as: read or write units, requests of 64 KB (SNS, SQS) or 512 KB (HTTP), messages of 32 KB
    /// (WebSocket), gigabytes of memory (Lambda).
    pub units: f64,
}

/// Adds up what is used, if there is a reason to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Option<Arc<Mutex<Usage>>>);

impl Meter {
    pub(crate) fn new(is_on: bool) -> Self {
        Self(is_on.then(Arc::default))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a call.
    pub(crate) fn add(&self, caller: &str, operation: &str, units: f64) {
        if let Some(usage) = &self.0 {
            let mut usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
            let amount = usage.entry((caller.to_owned(), operation.to_owned())).or_default();
            amount.calls += 1;
            amount.units += units;
        }
    }

    /// What was used so far.
    pub(crate) fn usage(&self) -> Usage {
        self.0.as_ref().map(|usage| usage.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap_or_default()
    }
}

/// The units of `unit` bytes that are billed for these bytes: at least one.
pub(crate) fn units_of(bytes: usize, unit: usize) -> f64 {
    bytes.div_ceil(unit).max(1) as f64
}
