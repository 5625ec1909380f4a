//! Input: the fields of a body, the parameters of a query string, and the checks of a text among them.

pub mod fields;
pub mod query;
pub mod target;
pub mod text;
