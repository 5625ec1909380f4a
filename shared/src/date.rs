//! Points in time as the wire and the table show them: UTC, to the microsecond, as Django REST framework prints them.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in UTC, to the microsecond: `2026-11-23T09:45:23.123456Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(DateTime<Utc>);

impl Date {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        Self(Utc::now().trunc_subsecs(6))
    }

    /// A point in time in seconds since 1970; none beyond the calendar.
    pub(crate) fn from_epoch_seconds(seconds: i64) -> Option<Self> {
        DateTime::from_timestamp(seconds, 0).map(Self)
    }

    /// The point in time that is this much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }

    /// How long ago it was; nothing if it is in the future, as with another machine's clock.
    pub(crate) fn elapsed(self) -> Duration {
        (Utc::now() - self.0).to_std().unwrap_or_default()
    }

    /// Milliseconds since 1970.
    pub fn epoch_milliseconds(self) -> i64 {
        self.0.timestamp_millis()
    }

    /// Microseconds since 1970, which is as exact as a date is.
    pub fn epoch_microseconds(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Seconds since 1970, the unit of the table's `expires_at`.
    pub fn epoch_seconds(self) -> i64 {
        self.0.timestamp()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let date = DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(date.to_utc().trunc_subsecs(6)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_digits_always() {
        let date: Date = serde_json::from_str("\"2026-11-23T09:45:23Z\"").unwrap();
        assert_eq!(date.to_string(), "2026-11-23T09:45:23.000000Z");
        let exact: Date = serde_json::from_str("\"2026-11-23T10:45:23.123456789+01:00\"").unwrap();
        assert_eq!(exact.to_string(), "2026-11-23T09:45:23.123456Z");
        let now = Date::now();
        assert_eq!(serde_json::from_str::<Date>(&serde_json::to_string(&now).unwrap()).unwrap(), now);
    }
}
