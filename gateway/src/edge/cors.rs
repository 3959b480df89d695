//! Cross-origin resource sharing: which pages of other origins may call from a browser, and what
//! of an answer they see. By the Fetch standard, 3.3.

use std::str::FromStr;

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};

/// More origins than this are a mistake, or want `*`.
const MAX_ORIGINS: usize = 64;

const ANY: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE");
/// What a page may send beside what every page may: the headers that handlers read.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id",
);
/// What a page may read beside what every page may. Named, not `*`: that leaves out what
/// browsers of some age know by name only.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Request-Id, ETag, Link, Location, X-Total-Count, Retry-After, X-Applied-Index, \
     X-Missing-Racks, Allow",
);
/// How long a browser may remember a preflight, in seconds; what is allowed changes with a start.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("3600");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("origin");

/// The origins whose pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// All of them.
    Any,
    /// These, as browsers write them.
    These(Vec<HeaderValue>),
}

impl Origins {
    /// What an answer to this request grants, if it asks and may.
    pub(super) fn grant(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        match self {
            // Always said, so that an answer from a cache has it whoever asked first.
            Self::Any => Some(ANY),
            Self::These(allowed) => {
                headers.get(header::ORIGIN).filter(|origin| allowed.contains(origin)).cloned()
            }
        }
    }

    /// Lets the page see the answer. Errors too: without this a page can't tell a 429 from a
    /// broken network.
    pub(super) fn expose(&self, granted: Option<HeaderValue>, headers: &mut HeaderMap) {
        if matches!(self, Self::These(_)) {
            // A cache must not give one page what another was granted.
            headers.append(header::VARY, VARY_ORIGIN);
        }
        if let Some(origin) = granted {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

impl FromStr for Origins {
    type Err = ();

    /// `*`, or origins such as `https://books.example` separated by commas.
    fn from_str(text: &str) -> Result<Self, ()> {
        let items = || text.split(',').map(str::trim).filter(|item| !item.is_empty());
        if items().count() > MAX_ORIGINS || items().next().is_none() {
            return Err(());
        }
        if items().any(|item| item == "*") {
            return if items().count() == 1 { Ok(Self::Any) } else { Err(()) };
        }
        items().map(origin).collect::<Option<_>>().map(Self::These).ok_or(())
    }
}

/// Scheme, host and port of a page without anything behind, in small letters as browsers send it.
fn origin(text: &str) -> Option<HeaderValue> {
    let text = text.to_ascii_lowercase();
    let host = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| HeaderValue::from_str(&text).ok())?
}

/// Whether a browser asks what it may ask.
pub(super) fn is_preflight<B>(request: &Request<B>) -> bool {
    let has = |name: HeaderName| request.headers().contains_key(name);
    request.method() == Method::OPTIONS
        && has(header::ORIGIN)
        && has(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// What pages may ask; whether this one may is said by [`Origins::expose`].
pub(super) fn preflight() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_any_stands_alone() {
        assert_eq!("*".parse(), Ok(Origins::Any));
        let Ok(Origins::These(two)) = "https://Books.Example, http://localhost:5173".parse() else {
            panic!("two origins")
        };
        assert_eq!(two, ["https://books.example", "http://localhost:5173"]);
        let bad =
            ["", ",", "*,https://a", "books.example", "https://", "https://a/b", "null", "ftp://a"];
        for text in bad {
            assert_eq!(text.parse::<Origins>(), Err(()), "{text}");
        }
    }
}
