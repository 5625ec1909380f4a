//! How many chats a user is in, counted in the transactions by which users join and leave.
//!
//! Users of earlier versions and imported users are counted when they first join or leave; until then those
//! transactions fail with [`Error::Uncounted`].

use serde::Serialize;

use crate::{
    Confab, Error, Result,
    aws::table::Write,
    ids::UserId,
    key::{Key, Partition},
};

/// The prefix of a membership's sort key.
pub(crate) const MEMBERSHIP: &str = "CHAT#";

/// The count as stored.
#[derive(Debug, Serialize)]
struct MembershipCount {
    chats: usize,
}

fn key(user_id: UserId) -> Key {
    Partition::Memberships.key(user_id, "COUNT")
}

/// The count of a new user, who is in no chat.
pub(crate) fn none(user_id: UserId) -> Result<Write> {
    Write::put(key(user_id), &MembershipCount { chats: 0 })
}

/// Counts one chat less. It fails with [`Error::Uncounted`].
pub(crate) fn decrement(user_id: UserId) -> Write {
    Write::update(key(user_id), "ADD chats :less")
        .if_present()
        .number(":less", -1)
        .otherwise(move |_| Error::Uncounted(user_id))
}

/// Lets the user join no other chat, ever: their account is being deleted. It fails with [`Error::Uncounted`].
pub(super) fn close(user_id: UserId) -> Result<Write> {
    let close = Write::update(key(user_id), "SET is_closed = :yes").if_present().serialized(":yes", &true)?;
    Ok(close.otherwise(move |_| Error::Uncounted(user_id)))
}

impl Confab {
    /// Counts one chat more. It fails with [`Error::TooManyChats`], of which invitations may use four fifths, with
    /// [`Error::Uncounted`], and with [`Error::NotFound`] once the account has been deleted.
    pub(crate) fn increment_memberships(&self, user_id: UserId, is_invited: bool) -> Write {
        let most = self.limits().chats_per_user.unwrap_or(u32::MAX.into());
        Write::update(key(user_id), "ADD chats :one")
            .when("chats < :most AND attribute_not_exists(is_closed)")
            .number(":one", 1)
            .number(":most", if is_invited { (most * 4).div_ceil(5) } else { most })
            .otherwise(move |count| match count {
                Some(count) if count.contains_key("is_closed") => Error::NotFound,
                Some(_) => Error::TooManyChats(user_id),
                None => Error::Uncounted(user_id),
            })
    }

    /// The result of an attempt that counts memberships, or `None` if a user's had not been counted yet. They are now,
    /// and the attempt can be repeated.
    ///
    /// **Invariant.** While a user's memberships are not counted, none can be added or ended, so counting finds all of
    /// them.
    pub(crate) async fn unless_uncounted<T>(&self, attempt: Result<T>) -> Result<Option<T>> {
        match attempt {
            Err(Error::Uncounted(user_id)) => self.count_memberships(user_id).await.map(|()| None),
            ended => ended.map(Some),
        }
    }

    async fn count_memberships(&self, user_id: UserId) -> Result<()> {
        let mut pages = self.table().pages_under(Partition::User.of(user_id), MEMBERSHIP);
        let mut chats = 0;
        while let Some(page) = pages.next().await? {
            chats += page.len();
        }
        // Another request may have counted meanwhile.
        let count = Write::put(key(user_id), &MembershipCount { chats })?.if_absent();
        self.table().attempt(count).await.map(drop)
    }
}
