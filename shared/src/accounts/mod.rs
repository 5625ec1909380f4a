//! Accounts: registration, login, passwords, and how often they may be tried.

pub mod attempts;
pub mod email;
pub mod hashing;
pub mod login;
pub mod password;
pub mod rate_limit;
pub mod registration;
