//! Identities of other systems: JWTs that a product's own login has issued, verified with its public keys.
//!
//! `jsonwebtoken` reads and checks the tokens, and ring verifies their signatures. The algorithm of a signature is the
//! one of the key that the deployment trusts; the token has to name the same.

mod cache;
mod claims;
mod crypto;
mod fetch;
mod issuers;
mod keys;

pub(crate) use claims::Claims;
pub(crate) use issuers::Issuers;
