//! Deleting one's account. One transaction ends it for everybody; what it leaves behind is erased in the background
//! (`personal_data::erasure`).

use serde::{Deserialize, Serialize};

use super::{
    membership_count,
    password::{self, PASSWORD_CHARACTERS},
};
use crate::{
    Confab, Error, Result,
    auth::{address, authentication::Caller, token::StoredToken, user::Profile},
    aws::table::Write,
    date::Date,
    error::Invalid,
    ids::UserId,
    input::{fields::Fields, text::Text},
    json,
    key::{Key, Partition},
};

/// The sort key of a deletion.
pub(crate) const DELETION: &str = "DELETION";
/// How long a username stays reserved, so that nobody poses as its former owner.
const USERNAME_SECONDS: i64 = 30 * 24 * 3600;
/// A user without a password proves who they are by having logged in this recently.
const RECENT_SECONDS: i64 = 600;

/// An account that is being erased, as stored.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Deletion {
    pub(crate) date: Date,
    pub(crate) messages: Messages,
}

/// What happens to the messages of a deleted account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Messages {
    /// They stay, without their author's name.
    Keep,
    /// They are deleted, as if their author had deleted each.
    Erase,
}

/// An account to erase, as it stands in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasureRequest {
    pub(crate) user_id: UserId,
}

impl Deletion {
    pub(crate) fn key(user_id: UserId) -> Key {
        Partition::User.key(user_id, DELETION)
    }
}

impl Messages {
    /// Reads the field `messages`: `keep`, which is the default, or `erase`.
    fn read(fields: &Fields, invalid: &mut Invalid) -> Self {
        match Text::optional("messages").read(fields, invalid).as_deref() {
            None | Some("keep") => Self::Keep,
            Some("erase") => Self::Erase,
            Some(other) => {
                invalid.add("messages", format!("\"{other}\" is not a valid choice."));
                Self::Keep
            }
        }
    }
}

impl Confab {
    /// Deletes the caller's account: revokes all tokens, closes all sockets, and erases the profile. The username stays
    /// reserved for 30 days.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Throttled`].
    pub async fn delete_account(&self, caller: &Caller, fields: &Fields) -> Result<()> {
        let mut invalid = Invalid::default();
        let has_password = password::is_verifiable(&caller.password_hash);
        let messages = Messages::read(fields, &mut invalid);
        let password = Text::required("current_password").at_most(PASSWORD_CHARACTERS);
        let password = if has_password { password.read(fields, &mut invalid) } else { None };
        invalid.unless_empty(())?;
        match has_password {
            true => self.require_password(caller, password.unwrap_or_default()).await?,
            false => self.require_recent_login(caller).await?,
        }
        for _ in 0..2 {
            let names = self.username_keys(&caller.user.username, caller.user.id).await?;
            let deleted = self.table().transact(deletion(caller, names, messages)?).await;
            if self.unless_uncounted(deleted).await?.is_some() {
                return self.end_earlier_epochs(caller.user.id, caller.epoch + 1).await;
            }
        }
        Err(Error::Busy(None))
    }

    async fn require_recent_login(&self, caller: &Caller) -> Result<()> {
        let token: Option<StoredToken> = self.table().get(StoredToken::key(caller.user.id, &caller.token)).await?;
        let age = |token: StoredToken| Date::now().epoch_seconds() - token.create_date.epoch_seconds();
        match token.map(age) {
            Some(age) if age <= RECENT_SECONDS => Ok(()),
            _ => Err(Error::Forbidden("Log in again, and delete the account within ten minutes.")),
        }
    }

    /// Asks for a step of the erasure of an account. A second request with the same `occasion` is dropped.
    pub(crate) async fn request_erasure(&self, user_id: UserId, occasion: &str) -> Result<()> {
        let request = json::to_line(&ErasureRequest { user_id })?;
        self.erasures()?.send(&user_id.to_string(), occasion, request).await
    }
}

/// The writes that end an account. They fail with [`Error::Uncounted`].
fn deletion(caller: &Caller, names: Vec<Key>, messages: Messages) -> Result<Vec<Write>> {
    let (user, now) = (&caller.user, Date::now());
    let nothing = "username = :nothing, email = :nothing, first_name = :nothing, last_name = :nothing";
    let profile = format!("SET is_active = :no, password_hash = :unusable, epoch = :next, {nothing}");
    let unchanged = "password_hash = :old AND epoch = :epoch AND username = :username AND email = :email";
    let mut writes = vec![
        Write::update(Profile::key(user.id), &profile)
            .when(unchanged)
            .serialized(":no", &false)?
            // As Django marks a password that nobody can log in with.
            .text(":unusable", "!")
            .text(":nothing", "")
            .text(":old", &caller.password_hash)
            .text(":username", &user.username)
            .text(":email", &user.email)
            .number(":epoch", caller.epoch)
            .number(":next", caller.epoch + 1)
            // Another request has changed the profile since it was read.
            .otherwise(|_| Error::Busy(None)),
        membership_count::close(user.id)?,
        Write::put(Deletion::key(user.id), &Deletion { date: now, messages })?,
    ];
    let expires_at = now.epoch_seconds() + USERNAME_SECONDS;
    let reserve = |name| Write::update(name, "SET expires_at = :expires_at").number(":expires_at", expires_at);
    writes.extend(names.into_iter().map(|name| reserve(name).if_present().otherwise(|_| Error::Busy(None))));
    writes.extend(address::relist(&user.email, "", user.id)?);
    Ok(writes)
}
