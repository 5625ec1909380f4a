//! Rate limits per user, in fixed windows: log entries and read markers a minute, looked-up usernames an hour.
//!
//! A window's count is one item that expires with it. It is incremented before or together with what it limits, so that
//! concurrent requests cannot pass on the same count.

use crate::{
    Confab, Error, Result,
    aws::table::Write,
    date::Date,
    ids::UserId,
    key::{Key, Partition},
};

const MINUTE_SECONDS: i64 = 60;
const HOUR_SECONDS: i64 = 3600;

/// An operation that is rate limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Log entries, of whatever type, and chats started: `PostsPerMinute`.
    Entries,
    /// Read markers: `MarkersPerMinute`.
    Markers,
    /// Names of others that are looked up to invite them: `LookupsPerHour`.
    Lookups,
}

impl Rate {
    fn key(self, user_id: UserId) -> Key {
        let kind = match self {
            Self::Entries => "entries",
            Self::Markers => "markers",
            Self::Lookups => "lookups",
        };
        let window = Date::now().epoch_seconds() / self.window_seconds();
        Partition::Rates.key(format!("{kind}#{user_id}"), window.to_string())
    }

    fn window_seconds(self) -> i64 {
        match self {
            Self::Entries | Self::Markers => MINUTE_SECONDS,
            Self::Lookups => HOUR_SECONDS,
        }
    }
}

impl Confab {
    /// The write that counts `number` operations of a user. It fails with [`Error::Throttled`] once the limit is
    /// reached. Without a limit there is none.
    pub(crate) fn charge(&self, rate: Rate, user_id: UserId, number: usize) -> Option<Write> {
        let limits = self.limits();
        let most = match rate {
            Rate::Entries => limits.entries_per_minute,
            Rate::Markers => limits.markers_per_minute,
            Rate::Lookups => limits.lookups_per_hour,
        }?;
        let window = rate.window_seconds();
        let write = Write::update(rate.key(user_id), "ADD events :number SET expires_at = :expires_at")
            .when("attribute_not_exists(events) OR events < :most")
            .number(":number", number)
            .number(":most", most)
            .number(":expires_at", Date::now().epoch_seconds() + 2 * window)
            .otherwise(move |_| Error::limited(window));
        Some(write)
    }

    /// Counts operations by themselves, outside of a transaction.
    ///
    /// # Errors
    /// [`Error::Throttled`] once the limit is reached.
    pub(crate) async fn throttle(&self, rate: Rate, user_id: UserId, number: usize) -> Result<()> {
        match self.charge(rate, user_id, number) {
            Some(write) => self.table().apply(write).await.map(drop),
            None => Ok(()),
        }
    }
}
