//! Accounts: registration, login and logout, profiles and passwords, and the limits of one user.

mod attempts;
mod change_password;
mod email;
mod exchange;
mod hashing;
mod login;
mod logout;
pub(crate) mod membership_count;
pub mod password;
mod profile;
pub(crate) mod rate_limit;
mod registration;
