//! Random bytes from the operating system, for secrets and identifiers.

use crate::{Error, Result};

/// `N` random bytes.
///
/// # Errors
/// When the operating system provides none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::internal(error.to_string()))?;
    Ok(bytes)
}

/// `N` random bytes in `2 * N` hexadecimal digits.
///
/// # Errors
/// As [`bytes`].
pub(crate) fn hex<const N: usize>() -> Result<String> {
    bytes::<N>().map(hex::encode)
}
