//! Throttling of logins, registrations and checks of the current password: some attempts an hour are free, then each one
//! has to wait twice as long as the one before.
//!
//! A username counts in all its forms as one.
//! Attempts are counted before they are evaluated, so that a thousand concurrent ones are a thousand attempts.
//!
//! | attempt | counted by | free per hour |
//! |---|---|---|
//! | login, until one succeeds | username and address | 5 |
//! | failed login | username, except from addresses that it has logged in from | 100 |
//! | failed login, registration | address | `AttemptsPerAddress` |
//! | successful login | username and address | 60 |
//! | successful login | address | 20 times `AttemptsPerAddress` |
//! | registration | username | 5 |
//! | wrong current password | token | 5 |
//! | requested mail | address | `AttemptsPerAddress` |
//! | mail | recipient | 5, and no more |
//! | use of a token from a mail | user and address | 5 |
//! | use of a token from a mail | user | 100 |
//! | use of a token from a mail | address | `AttemptsPerAddress` |
//! | refused token of another system | address | `AttemptsPerAddress` |
//! | accepted token of another system | address | 20 times `AttemptsPerAddress` |
//! | change of the password | token | 5 |
//!
//! So an attacker cannot lock a user out: not from another address, and not even from the user's own by way of
//! thousands of addresses, if the user has logged in from it before. And an attacker who stole one token cannot keep
//! its owner, who has another one, from changing the password.

use std::net::IpAddr;

use futures_util::future;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Confab, Error, Result,
    auth::{address, name_forms::folded, token::TokenHash, username::Username},
    aws::table::{Item, Write, read},
    date::Date,
    ids::UserId,
    key::{Key, Partition},
};

const HOUR_SECONDS: i64 = 3600;
/// How long an address counts as known to a username after a login.
const KNOWN_SECONDS: i64 = 90 * 24 * HOUR_SECONDS;
/// Free attempts an hour for one username from one address, for the registration of one username, and for one token.
const FREE: u64 = 5;
/// Free attempts an hour for one username from all addresses.
const FREE_PER_NAME: u64 = 100;
/// Mails an hour to one recipient.
const MAILS: u64 = 5;
/// Successful logins an hour for one username from one address.
const LOGINS: u64 = 60;
/// Successful logins per address for each free attempt.
const LOGINS_PER_ATTEMPT: u64 = 20;
/// The first wait is one second, each further one twice as long as the one before, up to this.
const LONGEST_WAIT_SECONDS: i64 = 300;

/// Where attempts are counted, how many are free, and how many logins may succeed.
struct AttemptCounter {
    key: Key,
    free: u64,
    logins: u64,
}

/// A counter as stored.
#[derive(Deserialize)]
struct Counted {
    attempts: u64,
    /// Those that succeeded.
    #[serde(default)]
    logins: u64,
    #[serde(default)]
    blocked_until: i64,
}

/// An address that a username has logged in from.
#[derive(Serialize, Deserialize)]
struct Known {
    expires_at: i64,
}

/// An attempt that was let through, and what to refund if it succeeds.
#[must_use]
#[derive(Default)]
pub(crate) struct CountedAttempt {
    /// By username and address, or by token; and whether it is throttled for failures rather than for successes.
    own: Option<(Key, bool)>,
    by_address: Option<Key>,
    by_name: Option<Key>,
    /// The address to remember.
    known: Option<Key>,
}

impl AttemptCounter {
    /// A counter of this hour. At most the last part of `about` is free text.
    fn new(about: String, free: u64, logins: u64) -> Self {
        let hour = Date::now().epoch_seconds() / HOUR_SECONDS;
        Self { key: Partition::Attempts.key(about, hour.to_string()), free, logins }
    }
}

impl Known {
    fn key(name: &str, source: &str) -> Key {
        let digest = Sha256::new().chain_update(source).chain_update([0]).chain_update(name).finalize();
        Partition::Attempts.key(format!("login#name#{name}"), format!("KNOWN#{}", hex::encode(digest)))
    }
}

/// An address as it is counted: an IPv6 host has a whole /64.
fn source(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// The wait in seconds after this many attempts beyond the free ones.
fn wait(excess: u64) -> i64 {
    (1 << excess.saturating_sub(1).min(30)).min(LONGEST_WAIT_SECONDS)
}

impl Confab {
    /// Counts a login, unless it has to wait.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(crate) async fn throttle_login(&self, name: &str, address: Option<IpAddr>) -> Result<CountedAttempt> {
        let mut attempt = CountedAttempt::default();
        let source = address.map(source);
        if let Some((source, free)) = source.as_ref().zip(self.limits().attempts_per_address) {
            let logins = free.saturating_mul(LOGINS_PER_ATTEMPT);
            let counter = AttemptCounter::new(format!("login#address#{source}"), free, logins);
            self.count(&counter).await?;
            attempt.by_address = Some(counter.key);
        }
        if !Username::is_possible(name) {
            return Ok(attempt);
        }
        let name = &folded(name);
        let source = source.as_deref().unwrap_or("unknown");
        // A login that is throttled here is not counted below: one address cannot use up what is free for a username.
        let own = AttemptCounter::new(format!("login#pair#{source}#{name}"), FREE, LOGINS);
        let counted = self.count(&own).await?;
        attempt.own = Some((own.key, counted.logins < LOGINS));
        let known = Known::key(name, source);
        let found: Option<Known> = self.table().get(known.clone()).await?;
        let counter = AttemptCounter::new(format!("login#name#{name}"), FREE_PER_NAME, u64::MAX);
        // It is counted in any case, so that the number of calls does not tell whether the username exists.
        match self.count(&counter).await {
            Ok(_) => attempt.by_name = Some(counter.key),
            Err(Error::Throttled { .. }) if found.is_some() => {}
            Err(error) => return Err(error),
        }
        let is_fresh = |known: Known| known.expires_at - Date::now().epoch_seconds() > KNOWN_SECONDS / 2;
        attempt.known = Some(known).filter(|_| !found.is_some_and(is_fresh));
        Ok(attempt)
    }

    /// Counts a registration, unless it has to wait. It stays counted whether it succeeds or not.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(crate) async fn throttle_registration(&self, name: &str, address: Option<IpAddr>) -> Result<()> {
        if let Some((address, free)) = address.zip(self.limits().attempts_per_address) {
            self.count(&AttemptCounter::new(format!("register#address#{}", source(address)), free, u64::MAX)).await?;
        }
        if Username::is_possible(name) {
            let name = folded(name);
            self.count(&AttemptCounter::new(format!("register#name#{name}"), FREE, u64::MAX)).await?;
        }
        Ok(())
    }

    /// Counts an exchange of another system's token, unless it has to wait.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(crate) async fn throttle_exchange(&self, address: Option<IpAddr>) -> Result<CountedAttempt> {
        let mut attempt = CountedAttempt::default();
        if let Some((address, free)) = address.zip(self.limits().attempts_per_address) {
            let logins = free.saturating_mul(LOGINS_PER_ATTEMPT);
            let counter = AttemptCounter::new(format!("exchange#address#{}", source(address)), free, logins);
            self.count(&counter).await?;
            attempt.by_address = Some(counter.key);
        }
        Ok(attempt)
    }

    /// Counts a change of the password, unless it has to wait.
    /// Counts a check of the current password, unless it has to wait.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(crate) async fn throttle_password_check(&self, token: &TokenHash) -> Result<CountedAttempt> {
        let counter = AttemptCounter::new(format!("password#token#{token}"), FREE, u64::MAX);
        self.count(&counter).await?;
        Ok(CountedAttempt { own: Some((counter.key, true)), ..CountedAttempt::default() })
    }

    /// Counts a request for a mail, unless it has to wait.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(super) async fn throttle_mail_request(&self, address: Option<IpAddr>) -> Result<()> {
        let Some((address, free)) = address.zip(self.limits().attempts_per_address) else { return Ok(()) };
        let counter = AttemptCounter::new(format!("mail#address#{}", source(address)), free, u64::MAX);
        self.count(&counter).await.map(drop)
    }

    /// Counts a mail to a recipient, whether they are a user or not. Beyond the limit there is none within the hour.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(super) async fn throttle_recipient(&self, email: &str) -> Result<()> {
        let Some(recipient) = address::normalized(email) else { return Ok(()) };
        let AttemptCounter { key, .. } = AttemptCounter::new(format!("mail#to#{recipient}"), MAILS, u64::MAX);
        let count = Write::update(key, "ADD attempts :one SET expires_at = :expires_at")
            .when("attribute_not_exists(attempts) OR attempts < :most")
            .number(":one", 1)
            .number(":most", MAILS)
            .number(":expires_at", Date::now().epoch_seconds() + 2 * HOUR_SECONDS)
            .otherwise(|_| Error::limited(HOUR_SECONDS));
        self.table().apply(count).await.map(drop)
    }

    /// Counts the use of a token from a mail, unless it has to wait.
    ///
    /// # Errors
    /// [`Error::Throttled`].
    pub(super) async fn throttle_confirmation(&self, user_id: UserId, address: Option<IpAddr>) -> Result<()> {
        let source = address.map(source);
        if let Some((source, free)) = source.as_ref().zip(self.limits().attempts_per_address) {
            self.count(&AttemptCounter::new(format!("confirm#address#{source}"), free, u64::MAX)).await?;
        }
        let source = source.as_deref().unwrap_or("unknown");
        self.count(&AttemptCounter::new(format!("confirm#pair#{source}#{user_id}"), FREE, u64::MAX)).await?;
        self.count(&AttemptCounter::new(format!("confirm#user#{user_id}"), FREE_PER_NAME, u64::MAX)).await.map(drop)
    }

    async fn count(&self, AttemptCounter { key, free, logins }: &AttemptCounter) -> Result<Counted> {
        let now = Date::now().epoch_seconds();
        let not_blocked = "attribute_not_exists(blocked_until) OR blocked_until <= :now";
        let count = Write::update(key.clone(), "ADD attempts :one SET expires_at = :expires_at")
            .when(not_blocked)
            .number(":one", 1)
            .number(":now", now)
            .number(":expires_at", now + 2 * HOUR_SECONDS);
        let item = self.table().apply(count.otherwise(move |item| throttled(item, now))).await?;
        let counted: Counted = read(item.unwrap_or_default())?;
        let excess = counted.attempts.saturating_sub(*free).max((counted.logins + 1).saturating_sub(*logins));
        if excess == 0 {
            return Ok(counted);
        }
        // Of concurrent attempts one gets through, and the next wait is longer.
        let claim = Write::update(key.clone(), "SET blocked_until = :until")
            .when(not_blocked)
            .number(":now", now)
            .number(":until", now + wait(excess));
        self.table().apply(claim.otherwise(move |item| throttled(item, now))).await?;
        Ok(counted)
    }

    /// Takes an attempt that succeeded back, counts it as a success, and remembers its address.
    pub(crate) async fn refund(&self, attempt: CountedAttempt) -> Result<()> {
        let mut writes = Vec::new();
        if let Some((key, by_failures)) = attempt.own {
            let unblock = if by_failures { " REMOVE blocked_until" } else { "" };
            let write = Write::update(key, &format!("SET attempts = :zero{unblock} ADD logins :one"));
            writes.push(write.if_present().number(":zero", 0).number(":one", 1));
        }
        if let Some(key) = attempt.by_address {
            let write = Write::update(key, "ADD attempts :less, logins :one");
            writes.push(write.if_present().number(":less", -1).number(":one", 1));
        }
        if let Some(key) = attempt.by_name {
            writes.push(Write::update(key, "ADD attempts :less").if_present().number(":less", -1));
        }
        if let Some(key) = attempt.known {
            writes.push(Write::put(key, &Known { expires_at: Date::now().epoch_seconds() + KNOWN_SECONDS })?);
        }
        future::try_join_all(writes.into_iter().map(|write| self.table().attempt(write))).await.map(drop)
    }
}

/// The error of an attempt that comes before the end of a wait.
fn throttled(counter: Option<Item>, now: i64) -> Error {
    match read::<Counted>(counter.unwrap_or_default()) {
        Ok(counted) => Error::throttled(counted.blocked_until - now),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_up_to_five_minutes() {
        let waits: Vec<i64> = (1..13).map(wait).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(wait(u64::MAX), LONGEST_WAIT_SECONDS);
    }

    #[test]
    fn a_network_counts_as_one_source() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    proptest! {
        #[test]
        fn names_are_counted_apart(one in "\\PC{0,20}", other in "\\PC{0,20}", address: IpAddr, elsewhere: IpAddr) {
            let pair = |address, name: &str| AttemptCounter::new(format!("login#pair#{}#{name}", source(address)), 0, 0).key;
            let same = (&one, source(address)) == (&other, source(elsewhere));
            prop_assert_eq!(pair(address, &one) == pair(elsewhere, &other), same);
            prop_assert_eq!(Known::key(&one, &source(address)) == Known::key(&other, &source(elsewhere)), same);
        }
    }
}
