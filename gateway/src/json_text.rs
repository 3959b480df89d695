//! A client's JSON value as it is kept: compact, checked, and otherwise as the client wrote it,
//! so that `1.10` stays `1.10`.

use bookmesh_rpc::api::JsonText;
use serde_json::Value;
use serde_json::value::RawValue;

/// Objects and arrays within one another; parsers in common use give up at about 100.
const MAX_DEPTH: usize = 32;

/// The compact text of a value.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn compact(raw: &RawValue) -> Result<JsonText, &'static str> {
    let text = without_spaces(raw.get()).ok_or("must not be nested deeper than 32 levels")?;
    // A raw value's escapes and numbers have not been looked at yet; a client that read this
    // value would stumble over a lone surrogate or over 1e999.
    serde_json::from_str::<Value>(&text).map_err(|_| "has a number or text that is not valid")?;
    Ok(JsonText::from_compact(text))
}

/// The text without white space outside of strings; `None` when it is nested too deep.
fn without_spaces(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else {
            match c {
                '"' => in_string = true,
                '{' | '[' => depth += 1,
                '}' | ']' => depth = depth.saturating_sub(1),
                c if c.is_ascii_whitespace() => continue,
                _ => {}
            }
        }
        if depth > MAX_DEPTH {
            return None;
        }
        out.push(c);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<JsonText, &'static str> {
        compact(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn white_space_goes_but_not_within_strings() {
        let text = "{ \"a b\" : [ 1.10 ,\n \"x  \\\" y\" ] }";
        assert_eq!(of(text).unwrap().as_str(), r#"{"a b":[1.10,"x  \" y"]}"#);
    }

    #[test]
    fn what_other_parsers_would_refuse_is_refused() {
        assert!(of(r#""\ud800""#).is_err());
        assert!(of("1e999").is_err());
        assert!(of(&("[".repeat(33) + &"]".repeat(33))).is_err());
        assert!(of(&("[".repeat(32) + &"]".repeat(32))).is_ok());
    }
}
