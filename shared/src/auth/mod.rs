//! Authentication: users, tokens, and who a request's token belongs to.

pub(crate) mod address;
pub mod authentication;
pub mod client_info;
pub(crate) mod name_forms;
pub mod token;
pub mod user;
pub(crate) mod username;
