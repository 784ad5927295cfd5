use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::{encoding, printable};

/// A moment: milliseconds since 1970-01-01T00:00:00Z, up to 9999-12-30T22:00:00.000Z.
///
/// Written in RFC 3339, UTC, always with three decimals: `2026-11-21T09:30:00.000Z`.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

/// A text or number that is not a timestamp.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a timestamp: expected RFC 3339 as `2026-11-21T09:30:00.000Z`, got `{0}`")]
pub struct TimestampError(String);

/// 9999-12-30T22:00:00.000Z, the last moment that RFC 3339 can write at every offset from UTC.
const LAST_MILLIS: u64 = 253_402_207_200_000;

impl Timestamp {
    /// Returns the moment `millis` milliseconds after 1970, or the last one there is.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LAST_MILLIS { LAST_MILLIS } else { millis })
    }

    /// Returns the moment `seconds` seconds after 1970, or the last one there is.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    /// Returns the milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns the whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1_000
    }

    /// Returns the moment `duration` later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// Returns the moment a while before this one, 1970 at the earliest.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// Returns how long after `earlier` this moment is; zero when it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Reads any RFC 3339 time, of any offset and precision, rounded down to milliseconds.
    ///
    /// What a person writes on a command line; evidence is read by [`FromStr`], which is strict.
    ///
    /// # Errors
    /// When it is not RFC 3339, or before 1970.
    pub fn from_rfc3339(text: &str) -> Result<Self, TimestampError> {
        let wrong = || TimestampError(printable(text, 64));
        let parsed: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
        u64::try_from(parsed.as_millisecond()).map(Self::from_millis).map_err(|_| wrong())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let time = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{time:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = Self::from_rfc3339(text)?;
        let canonical = time.to_string() == text;
        if canonical { Ok(time) } else { Err(TimestampError(printable(text, 64))) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn evidence_has_one_spelling() {
        let time: Timestamp = "2026-11-21T09:30:00.000Z".parse().unwrap();
        assert_eq!(time.as_seconds(), 1_795_253_400);
        for wrong in [
            "2026-11-21T09:30:00Z",
            "2026-11-21T09:30:00.0000Z",
            "2026-11-21t09:30:00.000Z",
            "2026-11-21T10:30:00.000+01:00",
            "1969-12-31T23:59:59.999Z",
            "9999-12-31T00:00:00.000Z",
            "",
        ] {
            assert!(wrong.parse::<Timestamp>().is_err(), "{wrong:?} was accepted");
        }
        let by_hand = Timestamp::from_rfc3339("2026-11-21T10:30:00+01:00").unwrap();
        assert_eq!(by_hand, time);
    }

    #[test]
    fn what_is_too_late_to_write_is_the_last_moment() {
        // A payment authorisation may be valid until 2^256 - 1.
        let last = Timestamp::from_seconds(u64::MAX);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00.000Z");
        assert_eq!(last.to_string().parse(), Ok(last));
        assert_eq!(last.plus(Duration::MAX), last);
    }

    proptest! {
        #[test]
        fn round_trips(millis in 0_u64..=LAST_MILLIS) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
        }
    }
}
