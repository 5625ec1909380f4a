//! Attempts at getting in: so many are free, and then each one has to wait longer than the one before.
//!
//! They are counted by username and by source address, for an hour each. An attempt is counted before it is looked at, so that
//! asking a thousand times at once is a thousand attempts; a log-in that succeeds is forgiven.

use std::net::IpAddr;

use serde::Deserialize;

use crate::{
    Confab, Error, Result,
    date::Date,
    table::{Applied, Key, Write, read},
    user::Username,
};

const HOUR_SECONDS: i64 = 3600;
/// So many attempts an hour under one username are free.
const FREE_PER_NAME: u64 = 5;
/// The first wait has one second, each further one twice as many as the one before, up to this.
const LONGEST_WAIT_SECONDS: i64 = 300;

/// What is attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    LogIn,
    Register,
    ChangePassword,
}

/// Where an attempt is counted, and how many of its kind are free there.
struct Counter {
    key: Key,
    free: u64,
}

/// What is counted, as stored.
#[derive(Deserialize)]
struct Counted {
    attempts: u64,
    #[serde(default)]
    blocked_until: i64,
}

/// An attempt that was let through.
#[must_use]
pub(crate) struct Admitted {
    by_name: Option<Key>,
    by_address: Option<Key>,
}

impl Attempt {
    fn key(self, what: &str, whose: &str) -> Key {
        let kind = match self {
            Self::LogIn => "login",
            Self::Register => "register",
            Self::ChangePassword => "password",
        };
        let hour = Date::now().epoch_seconds() / HOUR_SECONDS;
        Key::new(format!("ATTEMPTS#{kind}#{what}#{whose}"), hour.to_string())
    }
}

/// What a source counts as: an IPv6 host has a whole /64 to call from.
fn source(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

fn wait(attempts: u64, free: u64) -> i64 {
    let doublings = attempts.saturating_sub(free + 1).min(30);
    (1 << doublings).min(LONGEST_WAIT_SECONDS)
}

impl Confab {
    /// Lets an attempt through, and counts it.
    ///
    /// # Errors
    /// [`Error::Throttled`] says how long to wait.
    pub(crate) async fn admit(&self, attempt: Attempt, name: &str, address: Option<IpAddr>) -> Result<Admitted> {
        let by_name =
            Username::is_possible(name).then(|| Counter { key: attempt.key("name", name), free: FREE_PER_NAME });
        let by_address = address
            .zip(self.limits().attempts_per_address)
            .map(|(address, free)| Counter { key: attempt.key("address", &source(address)), free });
        for counter in [&by_address, &by_name].into_iter().flatten() {
            self.count(counter).await?;
        }
        Ok(Admitted { by_name: by_name.map(|by| by.key), by_address: by_address.map(|by| by.key) })
    }

    async fn count(&self, Counter { key, free }: &Counter) -> Result<()> {
        let now = Date::now().epoch_seconds();
        let not_blocked = "attribute_not_exists(blocked_until) OR blocked_until <= :now";
        let count = Write::update(key.clone(), "ADD attempts :one SET expires_at = :expires_at")
            .when(not_blocked)
            .number(":one", 1)
            .number(":now", now)
            .number(":expires_at", now + 2 * HOUR_SECONDS);
        let Counted { attempts, .. } = match self.table().apply(count).await? {
            Applied::Done(Some(item)) => read(&item)?,
            Applied::Refused(Some(item)) => return Err(throttled(&read(&item)?, now)),
            _ => return Err(Error::internal("a counter without a count")),
        };
        if attempts <= *free {
            return Ok(());
        }
        // Of those who ask at the same time one gets through, and from now on it takes longer.
        let claim = Write::update(key.clone(), "SET blocked_until = :until")
            .when(not_blocked)
            .number(":now", now)
            .number(":until", now + wait(attempts, *free));
        match self.table().apply(claim).await? {
            Applied::Done(_) => Ok(()),
            Applied::Refused(Some(item)) => Err(throttled(&read(&item)?, now)),
            Applied::Refused(None) => Err(Error::internal("a counter that has gone")),
        }
    }

    /// Takes back the count of an attempt that was rightly made.
    pub(crate) async fn forgive(&self, admitted: Admitted) -> Result<()> {
        if let Some(key) = admitted.by_name {
            self.table().apply(Write::delete(key)).await?;
        }
        if let Some(key) = admitted.by_address {
            self.table().apply(Write::update(key, "ADD attempts :one").if_present().number(":one", -1)).await?;
        }
        Ok(())
    }
}

fn throttled(counted: &Counted, now: i64) -> Error {
    Error::throttled(counted.blocked_until - now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_grow_up_to_five_minutes() {
        let waits: Vec<i64> = (6..18).map(|attempts| wait(attempts, 5)).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(wait(u64::MAX, 0), LONGEST_WAIT_SECONDS);
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
        fn names_are_counted_apart(one in "\\PC{0,20}", other in "\\PC{0,20}") {
            let key = |name: &str| Attempt::LogIn.key("name", name).pk;
            prop_assert_eq!(key(&one) == key(&other), one == other);
            prop_assert_ne!(key(&one), Attempt::LogIn.key("address", &other).pk);
        }
    }
}
