//! Registering and changing the password: djoser's endpoints, with its checks and words.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    Confab, Error, Result,
    accounts::email,
    accounts::password::{self, Verdict},
    auth::token::StoredToken,
    auth::user::{NAME_CHARACTERS, Profile, User, normalized},
    auth::username,
    aws::table::{Applied, Item, Key, Write},
    chats::access::Caller,
    chats::members::no_memberships,
    date::Date,
    error::Invalid,
    ids::UserId,
    input::fields::{Fields, Text},
};

const EMAIL_CHARACTERS: usize = 254;
/// Hashing a longer one would be work for the asking; Django takes 4,096 since CVE-2013-1443 taught it so.
pub(crate) const PASSWORD_CHARACTERS: usize = 4096;

/// The integer ids that the wire format shows are counted by one item each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IdSequence {
    User,
    Chat,
}

#[derive(Serialize, Deserialize)]
struct Count {
    last_id: u64,
}

impl IdSequence {
    fn key(self) -> Key {
        let pk = match self {
            Self::User => "COUNTER#user",
            Self::Chat => "COUNTER#chat",
        };
        Key::new(pk, "COUNTER")
    }

    /// Lets ids go on behind `id`, if `last_id` is still the last that was given out.
    pub(crate) fn skip_to(self, id: u64, last_id: u64) -> Write {
        Write::update(self.key(), "SET last_id = :id")
            .when("attribute_not_exists(last_id) OR last_id = :last")
            .number(":id", id)
            .number(":last", last_id)
            .otherwise(|_| {
                Error::Rejected(
                    "Others registered or started chats while the dump was compared with the table. Nothing was written; try again.",
                )
            })
    }
}

impl Confab {
    /// The last id that was given out, or 0.
    pub(crate) async fn last_given_id(&self, counter: IdSequence) -> Result<u64> {
        let count: Option<Count> = self.table().get(&counter.key()).await?;
        Ok(count.map_or(0, |count| count.last_id))
    }

    /// The next id. An id that is taken and then not used leaves a gap, as a database's sequence does.
    pub(crate) async fn next_id(&self, counter: IdSequence) -> Result<u64> {
        let write = Write::update(counter.key(), "ADD last_id :one").number(":one", 1);
        match self.table().apply(write).await? {
            Applied::Done(Some(item)) => Ok(crate::aws::table::read::<Count>(&item)?.last_id),
            _ => Err(Error::internal("a counter without a count")),
        }
    }

    /// Registers a user who calls from `source`.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the fields that are wrong; [`Error::Throttled`] for too many attempts.
    pub async fn register(&self, fields: &Fields, source: Option<IpAddr>) -> Result<User> {
        let form = Registration::read(fields);
        if let Some(username) = &form.username {
            // It stays counted whether it succeeds or not: what is rationed is accounts, and looking which names are taken.
            self.throttle_registration(username, source).await?;
        }
        // Like the original, this looks up the name as typed; one that is taken only in its normalised form is found by the
        // transaction below.
        let mut invalid = form.invalid;
        if let Some(username) = &form.username
            && self.profile_by_username(username).await?.is_some()
        {
            invalid.add("username", "A user with that username already exists.");
        }
        let (Some(username), Some(password)) = (form.username, form.password) else {
            return invalid
                .unless_empty(())
                .and(Err(Error::internal("a required field is missing without a complaint")));
        };
        invalid.unless_empty(())?;
        let user = User {
            id: UserId(0),
            username: normalized(&username),
            email: form.email.unwrap_or_default(),
            first_name: form.first_name.unwrap_or_default(),
            last_name: form.last_name.unwrap_or_default(),
        };
        strong("password", &password, &User { username, ..user.clone() })?;
        let password_hash = password::hash(password).await?;
        let id = UserId(self.next_id(IdSequence::User).await?);
        let user = User { id, ..user };
        let profile =
            Profile { user: user.clone(), password_hash, epoch: 0, is_active: true, create_date: Date::now() };
        let taken = || Error::Rejected("Unable to create account.");
        let mut writes = profile.register(taken)?;
        writes.push(no_memberships(id)?);
        self.table().transact(writes).await?;
        Ok(user)
    }

    /// Changes the caller's password; every other token of theirs dies, with its sockets.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the fields that are wrong; [`Error::Throttled`] for too many attempts.
    pub async fn change_password(&self, caller: &Caller, fields: &Fields) -> Result<()> {
        let mut invalid = Invalid::default();
        let current = Text::required("current_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        let new = Text::required("new_password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        invalid.unless_empty(())?;
        let (Some(current), Some(new)) = (current, new) else {
            return Err(Error::internal("a required field is missing without a complaint"));
        };
        let admitted = self.throttle_password_change(&caller.token).await?;
        let stored = caller.password_hash.clone();
        if password::verify(current, Some(stored.clone())).await? == Verdict::Wrong {
            return Err(Invalid::field("current_password", "Invalid password.").into());
        }
        self.refund(admitted).await?;
        strong("new_password", &new, &caller.user)?;
        let hash = password::hash(new).await?;
        // With the new epoch every other token is dead at once, and so is one that a log-in is just issuing; deleting them
        // only tidies up.
        let own = StoredToken::key(caller.user.id, &caller.token);
        // Somebody else changed it, or logged this token out, since it was verified.
        let outdated = |_: Option<&Item>| Invalid::field("current_password", "Invalid password.").into();
        let change = vec![
            Write::update(Profile::key(caller.user.id), "SET password_hash = :new, epoch = :next")
                .when("password_hash = :old AND epoch = :epoch")
                .text(":new", &hash)
                .text(":old", &stored)
                .number(":epoch", caller.epoch)
                .number(":next", caller.epoch + 1)
                .otherwise(outdated),
            Write::update(own.clone(), "SET epoch = :next")
                .if_present()
                .number(":next", caller.epoch + 1)
                .otherwise(outdated),
        ];
        self.table().transact(change).await?;
        let closed = self.close_unauthorized_sockets(caller.user.id).await;
        self.delete_tokens_before(caller.user.id, caller.epoch + 1).await?;
        closed
    }
}

struct Registration {
    username: Option<String>,
    password: Option<String>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    invalid: Invalid,
}

impl Registration {
    fn read(fields: &Fields) -> Self {
        let mut invalid = Invalid::default();
        let username = username::read(fields, &mut invalid);
        let password = Text::required("password").at_most(PASSWORD_CHARACTERS).read(fields, &mut invalid);
        let email = email(fields, &mut invalid);
        let mut name =
            |name| Text::optional(name).blank().printable().at_most(NAME_CHARACTERS).read(fields, &mut invalid);
        let (first_name, last_name) = (name("first_name"), name("last_name"));
        Self { username, password, email, first_name, last_name, invalid }
    }
}

/// Reads an e-mail address, its domain in lower case; it may be left out or blank.
pub(crate) fn email(fields: &Fields, invalid: &mut Invalid) -> Option<String> {
    let email = Text::optional("email").blank().at_most(EMAIL_CHARACTERS).read(fields, invalid)?;
    let too_long = email.chars().count() > EMAIL_CHARACTERS;
    let email = match email.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", domain.to_lowercase()),
        None => email,
    };
    if !email.is_empty() && !too_long && !email::is_valid(&email) {
        invalid.add("email", "Enter a valid email address.");
    }
    Some(email)
}

fn strong(field: &'static str, password: &str, user: &User) -> Result<()> {
    let about = [
        ("username", user.username.as_str()),
        ("first name", &user.first_name),
        ("last name", &user.last_name),
        ("email address", &user.email),
    ];
    let mut invalid = Invalid::default();
    for problem in password::weaknesses(password, &about) {
        invalid.add(field, problem);
    }
    invalid.unless_empty(())
}
