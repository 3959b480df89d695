//! Entity tags (RFC 9110, 8.8.3): a thing's version in quotes.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, header};

use crate::call::Call;

/// What the tag of an answer's compressed form ends with; see `edge::compression`.
pub(crate) const GZIP_SUFFIX: &str = "-gzip";

/// The tag of a version.
fn of(version: u64) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{version}\"")).ok()
}

/// Sets the tag of a version.
pub(crate) fn set(response: &mut Response<Body>, version: u64) {
    if let Some(tag) = of(version) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}

/// Whether the reader has this version already (`If-None-Match`, compared weakly).
pub(crate) fn is_known(call: &Call, version: u64) -> bool {
    tags(call, &header::IF_NONE_MATCH).any(|tag| {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || parse(strong) == Some(version)
    })
}

/// The versions that a write takes (`If-Match`); `None` is any. Tags that are none of ours match no
/// version, and those of an answer's forms are of the same one.
pub(crate) fn wanted(call: &Call) -> Option<BTreeSet<u64>> {
    let any = tags(call, &header::IF_MATCH).any(|tag| tag == "*");
    let given = call.header_values(&header::IF_MATCH).next().is_some();
    (given && !any).then(|| tags(call, &header::IF_MATCH).filter_map(parse).collect())
}

/// The tags of a header, on however many lines; one that is no text is an empty one.
fn tags<'a>(call: &'a Call, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = call.header_values(name).map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The version, whichever form of the answer had the tag.
fn parse(tag: &str) -> Option<u64> {
    let text = tag.strip_prefix('"')?.strip_suffix('"')?;
    let digits = text.strip_suffix(GZIP_SUFFIX).unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back() {
        assert_eq!(parse(of(7).unwrap().to_str().unwrap()), Some(7));
        assert_eq!(parse("\"7-gzip\""), Some(7), "the compressed form is of the same version");
        for tag in ["7", "\"-gzip\"", "\"7", "\"\"", "\"x\"", "W/\"7\"", "\"+7\"", "\"7\", \"8\""] {
            assert_eq!(parse(tag), None, "{tag}");
        }
    }
}
