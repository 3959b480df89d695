//! The text of one field and the value it stands for. An empty field is no value.

use bookmesh_rpc::api::collapse_white_space;
use serde_json::{Map, Value};

/// What separates tags in one field.
const TAG_SEPARATORS: [char; 3] = [';', '|', ','];
/// The largest price, in cents: 99,999,999.99.
const MAX_CENTS: u64 = 9_999_999_999;

/// Ten digits with a correct last one. Spreadsheets drop leading zeros; they are put back.
/// `None` is a number that has lost more than that, or never was one.
pub(super) fn isbn10(text: &str) -> Option<String> {
    let digits = digits(text);
    if !(7..=10).contains(&digits.len()) {
        return None;
    }
    let padded = format!("{digits:0>10}");
    let mut sum = 0;
    for (at, digit) in padded.chars().enumerate() {
        let value = if digit == 'X' && at == 9 { 10 } else { digit.to_digit(10)? };
        sum += value * (10 - u32::try_from(at).ok()?);
    }
    sum.is_multiple_of(11).then_some(padded)
}

/// Thirteen digits with a correct last one. A number in scientific notation has lost its last
/// digits, and so does not come through.
pub(super) fn isbn13(text: &str) -> Option<String> {
    let digits = digits(text);
    if digits.len() != 13 {
        return None;
    }
    let mut sum = 0;
    for (at, digit) in digits.chars().enumerate() {
        sum += digit.to_digit(10)? * if at % 2 == 0 { 1 } else { 3 };
    }
    sum.is_multiple_of(10).then_some(digits)
}

/// An ISBN without its hyphens.
fn digits(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect()
}

/// A whole year, negative before our era; `2008.0` is what data tools make of 2008.
pub(super) fn year(text: &str) -> Result<i32, &'static str> {
    let whole = text.split_once('.').map_or(Some(text), |(whole, rest)| {
        (!rest.is_empty() && rest.bytes().all(|b| b == b'0')).then_some(whole)
    });
    let year = whole.and_then(|text| text.parse().ok());
    year.filter(|year| (-9_999..=9_999).contains(year)).ok_or("must be a whole year")
}

/// A price as `/v1` writes it: whole cents with two decimals.
pub(super) fn price(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be 0 to 99999999.99 with two decimals at most";
    let (units, cents) = text.split_once('.').unwrap_or((text, "0"));
    let numeric = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !numeric(units) || !numeric(cents) || cents.len() > 2 || units.len() > 8 {
        return Err(RULE);
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| RULE);
    let total = number(units)? * 100 + number(&format!("{cents:0<2}"))?;
    if total > MAX_CENTS {
        return Err(RULE);
    }
    Ok(format!("{}.{:02}", total / 100, total % 100))
}

/// Tags between separators, or a JSON list when one of them holds a separator.
pub(super) fn tags(text: &str) -> Result<Vec<String>, &'static str> {
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|_| "must be a JSON list of texts");
    }
    let tags = text.split(TAG_SEPARATORS).map(collapse_white_space);
    Ok(tags.filter(|tag| !tag.is_empty()).collect())
}

/// What [`tags`] reads back as the same.
pub(super) fn tags_text(tags: &[String]) -> String {
    let special = |tag: &String| tag.contains(TAG_SEPARATORS) || tag.starts_with('[');
    if tags.iter().any(special) {
        return Value::from(tags).to_string();
    }
    tags.join(";")
}

/// Further keys.
pub(super) fn info(text: &str) -> Result<Map<String, Value>, &'static str> {
    serde_json::from_str(text).map_err(|_| "must be a JSON object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_zeros_of_an_isbn_are_put_back_and_checked() {
        assert_eq!(isbn10("439023483").as_deref(), Some("0439023483"));
        assert_eq!(isbn10("0-8044-2957-x").as_deref(), Some("080442957X"));
        for wrong in ["439023484", "", "X439023483", "9780439023481", "12"] {
            assert_eq!(isbn10(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_isbn_that_lost_digits_does_not_come_through() {
        assert_eq!(isbn13("978-0-439-02348-1").as_deref(), Some("9780439023481"));
        for wrong in ["9.78043902348e+12", "9780439023480", "978043902348", ""] {
            assert_eq!(isbn13(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn years_are_whole_and_may_be_before_our_era() {
        assert_eq!((year("2008.0"), year("-720.0"), year("1605")), (Ok(2008), Ok(-720), Ok(1605)));
        for wrong in ["2008.5", "MMVIII", "2008.", "99999", "."] {
            assert!(year(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn prices_are_whole_cents() {
        let read = ["12.99", "5", "0.5", "99999999.99", "007"].map(|text| price(text).unwrap());
        assert_eq!(read, ["12.99", "5.00", "0.50", "99999999.99", "7.00"]);
        for wrong in ["1.999", "-1", "$5", "1.", "100000000", ".5", "1e3"] {
            assert!(price(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tags_read_back_as_they_were_written() {
        for list in [vec![], vec!["a", "b c"], vec!["a;b", "c"], vec!["[x"]] {
            let list: Vec<String> = list.into_iter().map(str::to_owned).collect();
            assert_eq!(tags(&tags_text(&list)).unwrap(), list);
        }
        assert_eq!(tags(" a ;b,, c |d").unwrap(), ["a", "b", "c", "d"]);
        assert!(tags("[1]").is_err());
    }
}
