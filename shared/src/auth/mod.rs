//! Who is calling: users, tokens, and what a request shows of them.

pub mod token;
pub mod user;
pub mod username;
