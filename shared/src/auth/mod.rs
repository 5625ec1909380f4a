//! Authentication: users, tokens, and who a request's token belongs to.

pub mod authentication;
pub(crate) mod name_forms;
pub mod token;
pub mod user;
pub(crate) mod username;
