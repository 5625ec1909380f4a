//! What is decided: calls.

use std::collections::BTreeMap;

/// The values of a request's condition keys.
pub(crate) type Context = BTreeMap<&'static str, Vec<String>>;

/// What a caller asks for.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) context: Context,
}

impl Call {
    pub(crate) fn new(action: impl Into<String>, resource: String, context: Context) -> Self {
        Self { action: action.into(), resource, context }
    }
}

/// Why a call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No statement allows it.
    Implicit,
    /// A statement denies it.
    Explicit,
}
