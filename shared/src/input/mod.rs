//! What callers send: fields, query strings, texts.

pub mod fields;
pub mod query;
