//! Accounts: registration, login and logout, profiles and passwords, mails, and the limits of one user.

mod activation;
mod address_lookup;
mod attempts;
mod change_password;
mod change_username;
mod current_password;
pub(crate) mod deletion;
mod email;
pub(crate) mod exchange;
mod hashing;
mod login;
mod logout;
mod mail_request;
mod mail_sending;
mod mail_text;
mod mail_token;
pub(crate) mod membership_count;
pub mod password;
mod profile;
pub(crate) mod rate_limit;
mod registration;
mod reset_password;
mod tokens;
