//! The current password, which callers repeat before they change their account.

use super::password::{self, Verdict};
use crate::{Confab, Error, Result, auth::authentication::Caller, error::Invalid};

impl Confab {
    /// Checks the caller's password. Wrong ones are throttled.
    ///
    /// # Errors
    /// [`wrong_password`]; [`Error::Throttled`].
    pub(super) async fn require_password(&self, caller: &Caller, password: String) -> Result<()> {
        let attempt = self.throttle_password_check(&caller.token).await?;
        if password::verify(password, Some(caller.password_hash.clone())).await? == Verdict::Wrong {
            return Err(wrong_password());
        }
        self.refund(attempt).await
    }
}

/// The error of a wrong password, and of one that was changed while it was checked.
pub(super) fn wrong_password() -> Error {
    Invalid::field("current_password", "Invalid password.").into()
}
