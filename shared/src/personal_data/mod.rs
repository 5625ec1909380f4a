//! The data of one user: erasing it once the account is deleted, and exporting it.

pub mod erasure;
pub mod export;
