//! What every answer says to browsers and caches. The API answers programs with data; nothing of
//! it is a page, a script or a frame, and a browser is told not to take it for one.
//!
//! `Strict-Transport-Security` is left to whoever ends TLS in front: over plain HTTP it means
//! nothing, and only they know whether all of the host speaks TLS.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};

/// Set unless the handler said something else, as a page of documentation does.
const DEFAULTS: [(HeaderName, HeaderValue); 5] = [
    // What says that it is JSON is not sniffed for HTML.
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Both say that nobody frames an answer: the first to browsers that don't know the second.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    // Paths hold ids, which are no other site's business.
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // No other site embeds an answer as an image or a script. It does not touch calls by CORS,
    // which have rules of their own.
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// What is said is what holds now: a copy is asked about before it is used again. That is also
/// what makes an `ETag` worth its name.
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// An error is of one moment, and its request id of one request.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Adds what is missing.
pub(super) fn secure<B>(answer: &mut Response<B>) {
    let status = answer.status();
    let failed = status.is_client_error() || status.is_server_error();
    let headers = answer.headers_mut();
    headers.reserve(DEFAULTS.len() + 1);
    let cache = if failed { NO_STORE } else { NO_CACHE };
    default(headers, header::CACHE_CONTROL, cache);
    for (name, value) in DEFAULTS {
        default(headers, name, value);
    }
}

fn default(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.entry(name).or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secured(status: u16, own: &[(&str, &str)]) -> HeaderMap {
        let mut builder = Response::builder().status(status);
        for (name, value) in own {
            builder = builder.header(*name, *value);
        }
        let mut answer = builder.body(()).unwrap();
        secure(&mut answer);
        answer.into_parts().0.headers
    }

    #[test]
    fn what_a_handler_says_itself_stays() {
        let own = [("content-security-policy", "default-src 'self'"), ("cache-control", "private")];
        let headers = secured(200, &own);
        assert_eq!(headers["content-security-policy"], "default-src 'self'");
        assert_eq!(headers["cache-control"], "private");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }

    #[test]
    fn errors_are_not_stored_and_the_rest_is_asked_about_again() {
        for (status, expected) in [(200, "no-cache"), (304, "no-cache"), (404, "no-store")] {
            assert_eq!(secured(status, &[])["cache-control"], expected, "{status}");
        }
    }
}
