//! Accounts: registration, login and logout, profiles and passwords, and the limits of one user.

mod attempts;
mod change_password;
mod change_username;
mod current_password;
mod email;
mod hashing;
mod login;
mod logout;
pub(crate) mod membership_count;
pub mod password;
mod profile;
pub(crate) mod rate_limit;
mod registration;
