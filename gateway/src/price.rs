//! What a price may look like: the same on every surface.

use serde_json::value::RawValue;

/// Digits before the point: up to 99,999,999.99.
const MAX_WHOLE_DIGITS: usize = 8;
const MAX_DECIMALS: usize = 2;

/// The rule that a price breaks, if any. It is a string or a number.
pub(crate) fn fault(raw: &RawValue) -> Option<&'static str> {
    let text = raw.get();
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let decimal = match serde_json::from_str::<String>(text) {
        Ok(string) => string,
        Err(_) if is_number => text.to_owned(),
        Err(_) => return Some("must be a string or a number"),
    };
    if is_decimal(&decimal) {
        return None;
    }
    Some("must be 0 to 99999999.99 with at most two decimals, such as 12.99")
}

fn is_decimal(text: &str) -> bool {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let sized = whole.len() <= MAX_WHOLE_DIGITS && decimals.len() <= MAX_DECIMALS;
    digits(whole) && digits(decimals) && sized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_plain_decimals() {
        for text in ["0", "12.99", "\"12.9\"", "99999999.99", "\"0.00\"", "7"] {
            assert_eq!(fault(serde_json::from_str(text).unwrap()), None, "{text}");
        }
        let refused = [
            "-1",
            "1e2",
            "12.999",
            "100000000",
            "\"\"",
            "\".5\"",
            "\"1.\"",
            "\"1,5\"",
            "null",
            "true",
            "[]",
            "\" 1\"",
            "\"NaN\"",
        ];
        for text in refused {
            assert!(fault(serde_json::from_str(text).unwrap()).is_some(), "{text}");
        }
    }
}
