use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::{encoding, printable};

/// An amount of an asset in its atomic units, exact. On the wire a decimal string, as in x402.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Amount(pub u128);

/// A text that is not an amount, or an amount that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not decimal digits without sign and leading zeros.
    #[error("not an amount: expected decimal digits without leading zeros, got `{0}`")]
    Digits(String),
    /// More than 2^128 - 1 atomic units.
    #[error("amount out of range: `{0}` exceeds 2^128 - 1 atomic units")]
    Range(String),
    /// A decimal number with more places than the asset has.
    #[error("not exact: `{text}` has more than the asset's {decimals} decimal places")]
    Inexact {
        /// The number as written.
        text: String,
        /// The asset's decimal places.
        decimals: u8,
    },
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the sum, or `None` when it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Reads a decimal number of whole units, such as `0.001`, exactly.
    ///
    /// # Errors
    /// When it is not a plain decimal number, has more than `decimals` places, or does not fit.
    pub fn from_decimal(text: &str, decimals: u8) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let trailing_dot = text.ends_with('.');
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || trailing_dot || leading_zero || !digits(whole) || !digits(fraction) {
            return Err(AmountError::Digits(shortened(text)));
        }
        let places = usize::from(decimals);
        if fraction.trim_end_matches('0').len() > places {
            return Err(AmountError::Inexact { text: shortened(text), decimals });
        }
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction:0<places$}");
        all.parse().map(Self).map_err(|_| AmountError::Range(shortened(text)))
    }

    /// Returns the amount in whole units as an exact decimal number, such as `0.001`.
    #[must_use]
    pub fn to_decimal(self, decimals: u8) -> String {
        let places = usize::from(decimals);
        let digits = format!("{:0>width$}", self.0, width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }
}

fn shortened(text: &str) -> String {
    printable(text, 96)
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text == "0" || !text.starts_with('0'));
        if !canonical {
            return Err(AmountError::Digits(shortened(text)));
        }
        text.parse().map(Self).map_err(|_| AmountError::Range(shortened(text)))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        encoding::deserialize_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimals_are_exact() {
        assert_eq!(Amount::from_decimal("0.001", 6).unwrap(), Amount(1_000));
        assert_eq!(Amount::from_decimal("12", 6).unwrap(), Amount(12_000_000));
        assert_eq!(Amount::from_decimal("1.50000000", 6).unwrap(), Amount(1_500_000));
        assert_eq!(Amount(1_000).to_decimal(6), "0.001");
        assert_eq!(Amount(7).to_decimal(0), "7");
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "01", "1e3", "0.0000001", " 1", "1_0"] {
            assert!(Amount::from_decimal(wrong, 6).is_err(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn wire_form_is_canonical() {
        for wrong in ["", "00", "01", "-1", "1.0", "340282366920938463463374607431768211456"] {
            assert!(wrong.parse::<Amount>().is_err(), "{wrong:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn decimal_round_trips(units: u128, decimals in 0_u8..30) {
            let amount = Amount(units);
            prop_assert_eq!(Amount::from_decimal(&amount.to_decimal(decimals), decimals), Ok(amount));
            prop_assert_eq!(amount.to_string().parse::<Amount>(), Ok(amount));
        }
    }
}
