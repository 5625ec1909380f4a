//! Starting a chat.

use super::{
    chat::Chat,
    member::{Member, Role},
};
use crate::{
    Confab, Error, Result,
    accounts::rate_limit::Rate,
    auth::authentication::Caller,
    aws::table::Write,
    id_sequence::IdSequence,
    ids::{ChatUri, EntryId},
    random,
};

impl Confab {
    /// Starts a chat with the caller as its owner.
    ///
    /// # Errors
    /// [`Error::Throttled`]; [`Error::TooManyChats`].
    pub async fn start_chat(&self, caller: &Caller) -> Result<ChatUri> {
        // Before an id is issued, since all chats take theirs from one item.
        self.throttle(Rate::Entries, caller.user.id, 1).await?;
        let id = self.next_id(IdSequence::Chat).await?;
        let chat = Chat::new(ChatUri::from_random(random::bytes()?), id, caller.user.id);
        let owner = Member::new(caller.user.id, Role::Owner, EntryId::NONE, chat.create_date, &chat);
        // Should the uri be taken, the caller's next attempt has another one.
        let put = Write::put(Chat::key(&chat.uri), &chat)?.if_absent().otherwise(|_| Error::Busy(None));
        let mut writes = vec![put];
        writes.extend(self.add_member(&chat, &owner, false)?);
        for _ in 0..2 {
            if self.unless_uncounted(self.table().transact(writes.clone()).await).await?.is_some() {
                return Ok(chat.uri);
            }
        }
        Err(Error::Busy(None))
    }
}
