//! Changing a message: in one transaction with the entry about it.
//!
//! **Invariant.** A message ends as the log says, in whichever order its changes are committed: a change with a lower id
//! than the last one that the message shows is refused, and tried again with a new id.

use std::{ops::ControlFlow, time::Duration};

use backon::BackoffBuilder;

use super::{
    access::ChatAccess,
    chat::Chat,
    contention::back_off,
    entry::{Entry, EntryBody},
};
use crate::{Confab, Error, Result, aws::table::Write};

/// The condition that a message shows no change behind the entry `:change`.
pub(super) const SHOWS_NO_LATER_CHANGE: &str = "(attribute_not_exists(changed_id) OR changed_id < :change)";
/// Attempts at a change of a message that others change at the same time.
const ATTEMPTS: usize = 30;

/// Attempts at a change of a message.
pub(super) struct ChangeAttempts<P> {
    pauses: P,
    /// Whether the chat has to be read again, since it has changed with the message.
    is_outdated: bool,
}

/// The first of several attempts.
pub(super) fn change_attempts() -> ChangeAttempts<impl Iterator<Item = Duration>> {
    ChangeAttempts { pauses: back_off().with_max_times(ATTEMPTS).build(), is_outdated: false }
}

impl<P: Iterator<Item = Duration>> ChangeAttempts<P> {
    /// Waits for the next attempt if the message had changed, and otherwise says how the change ended.
    /// [`Error::AlreadyDone`] counts as success.
    pub(super) async fn next(&mut self, ended: Result<()>) -> ControlFlow<Result<()>> {
        match ended {
            Err(Error::Changed) => {
                self.is_outdated = true;
                let Some(pause) = self.pauses.next() else { return ControlFlow::Break(Err(Error::Busy(None))) };
                tokio::time::sleep(pause).await;
                ControlFlow::Continue(())
            }
            Err(Error::AlreadyDone) => ControlFlow::Break(Ok(())),
            ended => ControlFlow::Break(ended),
        }
    }
}

impl Confab {
    /// Appends an entry about a message together with the writes that change the message, and publishes it.
    ///
    /// # Errors
    /// [`Error::Changed`] where the message has changed meanwhile; otherwise as [`Confab::append`].
    pub(super) async fn change_message<P>(
        &self,
        access: &ChatAccess,
        attempts: &ChangeAttempts<P>,
        body: &EntryBody,
        change: impl Fn(&Chat, &Entry) -> Result<Vec<Write>>,
    ) -> Result<()> {
        let id = body.of.unwrap_or_default();
        let mut chat = self.chat_with(access.require_member()?, id).await?.ok_or(Error::NotFound)?;
        if attempts.is_outdated {
            chat = self.chat(&chat.uri).await?;
        }
        let entry = self.append(&chat, access.caller.user.id, body, change).await?;
        self.publish_entries(&chat.uri, &[entry], access.caller.known()).await;
        Ok(())
    }
}
