//! What a price may look like: the same on every surface.

use bookmesh_rpc::api::{Cents, JsonText};
use serde_json::value::RawValue;

/// The price that a client sent: a string or a number.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn read(raw: &RawValue) -> Result<Cents, &'static str> {
    let text = raw.get();
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if !is_number && !text.starts_with('"') {
        return Err("must be a string or a number");
    }
    let price = Cents::of_json(&JsonText::from_compact(text.to_owned()));
    price.ok_or("must be 0 to 99999999.99 with at most two decimals, such as 12.99")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_plain_decimals() {
        for text in ["0", "12.99", "\"12.9\"", "99999999.99", "\"0.00\"", "7"] {
            assert!(read(serde_json::from_str(text).unwrap()).is_ok(), "{text}");
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
            assert!(read(serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
