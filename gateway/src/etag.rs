//! Entity tags (RFC 9110, 8.8.3): a thing's version in quotes.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};

use crate::call::Call;
use crate::http_error::HttpError;

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
    let Some(tags) = call.header(&header::IF_NONE_MATCH) else { return false };
    tags.split(',').map(str::trim).any(|tag| {
        let strong = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || parse(strong) == Some(version)
    })
}

/// The version that a write insists on (`If-Match`); `*` is any.
///
/// # Errors
/// 412 for a tag that is none of ours, and so matches no version.
pub(crate) fn wanted(call: &Call) -> Result<Option<u64>, HttpError> {
    match call.header(&header::IF_MATCH).map(str::trim) {
        None | Some("*") => Ok(None),
        Some(tag) => parse(tag).map(Some).ok_or_else(HttpError::version_mismatch),
    }
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
