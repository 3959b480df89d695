//! What is never logged in production: secrets, and who holds a book. By the names of fields, and
//! by names within texts, since a path, a body or an error may find its way into a line.

use std::borrow::Cow;
use std::fmt;

use tracing::field::Field;
use tracing_subscriber::fmt::format::Writer;

/// What stands instead.
pub(super) const REDACTED: &str = "[redacted]";

/// Names that say what they hold, in small letters and without what separates words. A name that
/// ends with one is meant too: `mesh_key`, `set-cookie`.
const NAMES: [&str; 10] = [
    "userid",
    "holder",
    "token",
    "authorization",
    "cookie",
    "password",
    "passwd",
    "secret",
    "key",
    "credentials",
];
/// Headers: everything up to the end of the line is theirs.
const HEADERS: [&str; 2] = ["authorization", "cookie"];
/// Longer names are none of these.
const MAX_NAME_BYTES: usize = 64;

/// Whether what has this name must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    ends_with_one_of(&bare(name), &NAMES)
}

fn ends_with_one_of(name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

/// Small letters and digits alone, what a query has percent-encoded being decoded.
fn bare(name: &str) -> String {
    let mut bare = String::new();
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let hex = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let hex = std::str::from_utf8(&hex).ok();
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'_')
            }
            byte => byte,
        };
        if byte.is_ascii_alphanumeric() {
            bare.push(char::from(byte.to_ascii_lowercase()));
        }
    }
    bare
}

/// A text without the values of names that are secret: `name=value` as in queries, and
/// `"name":"value"` or `name: "value"` as in JSON and debug output, escaped once more or not.
pub(super) fn scrub(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut kept_to = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let name_bytes = rest.bytes().take_while(|byte| is_of_name(*byte)).count();
        if name_bytes == 0 {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let name = &rest[..name_bytes];
        at += name_bytes;
        let candidate = &name[name_bytes.saturating_sub(MAX_NAME_BYTES)..];
        if let Some((from, to)) = value_of(&bare(candidate), text, at) {
            out.push_str(&text[kept_to..from]);
            out.push_str(REDACTED);
            (kept_to, at) = (to, to);
        }
    }
    if kept_to == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[kept_to..]);
    Cow::Owned(out)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-%".contains(&byte)
}

/// Where the value of a secret name stands that ended at `at`, if one follows.
fn value_of(name: &str, text: &str, at: usize) -> Option<(usize, usize)> {
    if !ends_with_one_of(name, &NAMES) {
        return None;
    }
    let rest = &text[at..];
    let unquoted = rest.trim_start_matches(['\\', '"']);
    let value = unquoted.strip_prefix(['=', ':'])?;
    let is_query = unquoted.starts_with('=');
    let value = value.trim_start_matches(' ');
    let value = value.trim_start_matches("Some(");
    let escapes = value.bytes().take_while(|byte| *byte == b'\\').count();
    let from = text.len() - value.len();
    if let Some(inside) = value[escapes..].strip_prefix('"') {
        let from = text.len() - inside.len();
        return Some((from, from + quoted_bytes(inside, escapes)));
    }
    let ends: &[char] = if ends_with_one_of(name, &HEADERS) {
        &['\n', '\r']
    } else if is_query {
        &['&', ' ', '"', '\\', ',', ';', ')', '\n', '\r', '#']
    } else {
        return None;
    };
    let bytes = value.find(ends).unwrap_or(value.len());
    (bytes > 0).then_some((from, from + bytes))
}

/// How long a quoted text is whose quotes have so many escapes before them.
fn quoted_bytes(inside: &str, escapes: usize) -> usize {
    let mut backslashes = 0;
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'\\' => backslashes += 1,
            b'"' if backslashes <= escapes => return at - backslashes,
            _ => backslashes = 0,
        }
        if byte == b'"' {
            backslashes = 0;
        }
    }
    inside.len()
}

/// A field as people read it.
pub(super) fn write_field(
    writer: &mut Writer<'_>,
    field: &Field,
    value: &dyn fmt::Debug,
) -> fmt::Result {
    if is_secret(field.name()) {
        return write!(writer, "{}={REDACTED}", field.name());
    }
    let text = format!("{value:?}");
    match field.name() {
        "message" => write!(writer, "{}", scrub(&text)),
        name => write!(writer, "{name}={}", scrub(&text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in ["user_id", "userId", "Authorization", "set-cookie", "mesh_key", "user%49d"] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["rack", "user_agent", "keys", "path", "holders", ""] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn values_in_texts_are_replaced_and_the_rest_stays() {
        for (text, expected) in [
            ("/b?userId=ada&limit=1", "/b?userId=[redacted]&limit=1"),
            ("/b?user%49d=ada", "/b?user%49d=[redacted]"),
            (r#"{"userId":"ada","n":1}"#, r#"{"userId":"[redacted]","n":1}"#),
            (r#"{"userId": "a\"da", "n":1}"#, r#"{"userId": "[redacted]", "n":1}"#),
            (r#""{\"holder\":\"ada\",\"n\":1}""#, r#""{\"holder\":\"[redacted]\",\"n\":1}""#),
            (
                r#"Info { holder: Some("ada"), n: 1 }"#,
                r#"Info { holder: Some("[redacted]"), n: 1 }"#,
            ),
            ("authorization: Bearer abc\r\nhost: t", "authorization: [redacted]\r\nhost: t"),
            ("token=é1 x", "token=[redacted] x"),
            (r#"{"userId":"ad"#, r#"{"userId":"[redacted]"#),
        ] {
            assert_eq!(scrub(text), expected);
        }
        for text in ["the mesh key: it is missing", "key", "limit=3&q=né", "", "holder=", "%"] {
            assert!(matches!(scrub(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
