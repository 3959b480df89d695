//! Money, in whole cents.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::JsonText;

/// Digits before the point: up to 99,999,999.99.
const MAX_WHOLE_DIGITS: usize = 8;
const MAX_DECIMALS: usize = 2;

/// An amount of money of 0 to 99,999,999.99, in hundredths. Shown with two decimals: `12.90`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Cents(u64);

impl Cents {
    /// So many hundredths.
    pub const fn new(cents: u64) -> Self {
        Self(cents)
    }

    /// The hundredths.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// So many times as much. The largest price times the largest quantity of an order fits.
    pub const fn times(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(quantity as u64))
    }

    /// Reads a plain decimal such as `12.9`: digits, and at most two behind a point. Never through
    /// a floating-point number, which has no cents.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) {
            return None;
        }
        if whole.len() > MAX_WHOLE_DIGITS || decimals.len() > MAX_DECIMALS {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let cents: u64 = format!("{decimals:0<2}").parse().ok()?;
        Some(Self(whole * 100 + cents))
    }

    /// Reads what `info.price` holds: a decimal as a JSON string or a JSON number.
    pub fn of_json(value: &JsonText) -> Option<Self> {
        let text = value.as_str();
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        Self::parse(bare)
    }
}

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_to_the_cent() {
        let table =
            [("0", 0), ("12.99", 1299), ("12.9", 1290), ("7", 700), ("99999999.99", 9_999_999_999)];
        for (text, cents) in table {
            assert_eq!(Cents::parse(text), Some(Cents(cents)), "{text}");
        }
        for text in ["", ".5", "1.", "1,5", "-1", "+1", "1e2", "12.999", "100000000", " 1", "NaN"] {
            assert_eq!(Cents::parse(text), None, "{text}");
        }
        assert_eq!(Cents(1290).to_string(), "12.90");
        assert_eq!(Cents(5).to_string(), "0.05");
    }

    #[test]
    fn a_price_may_be_a_string_or_a_number() {
        let of = |text: &str| Cents::of_json(&JsonText::from_compact(text.to_owned()));
        assert_eq!(of("\"12.99\""), Some(Cents(1299)));
        assert_eq!(of("12.99"), Some(Cents(1299)));
        for text in ["null", "true", "[]", "\"\"", "\"12.99", "{}"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn the_largest_order_fits() {
        let most = Cents(9_999_999_999);
        assert_eq!(most.times(1_000_000).to_string(), "99999999990000.00");
    }
}
