//! Large answers shrink for clients that ask for it.
//!
//! gzip at its fastest: every client speaks it, and an answer of a megabyte holds up its thread for
//! some milliseconds. Streams (`text/event-stream`, `application/x-ndjson`) are left as they are,
//! since a compressor keeps lines back; so is everything small, by far the most, without a look at
//! what the client accepts.
//!
//! Entity tags stay strong (RFC 9110, 8.8.3.3): the compressed form of `"7"` is another sequence of
//! bytes and has a tag of its own, `"7-gzip"`. [`crate::etag`] takes either for version 7, so a
//! client may send back the one it has got in `If-Match` and `If-None-Match`.

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use futures::FutureExt;
use tower::{Service, service_fn};
use tower_http::CompressionLevel;
use tower_http::compression::Compression;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

use crate::etag::GZIP_SUFFIX;

/// Below this the head and the packet weigh as much as what would be saved.
const MIN_BYTES: u16 = 1_024;

/// What a request said that matters to the form of its answer.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    accept_encoding: Option<HeaderValue>,
    if_none_match: Option<HeaderValue>,
}

impl Wanted {
    pub(super) fn by(headers: &HeaderMap) -> Self {
        let get = |name: HeaderName| headers.get(name).cloned();
        Self {
            accept_encoding: get(header::ACCEPT_ENCODING),
            if_none_match: get(header::IF_NONE_MATCH),
        }
    }

    /// The answer in the form that was asked for.
    pub(super) fn compress(&mut self, mut answer: Response<Body>) -> Response<Body> {
        if answer.status() == StatusCode::NOT_MODIFIED {
            self.name_what_they_have(&mut answer);
            vary(&mut answer);
            return answer;
        }
        // A stream has no size until it ends, and one form.
        let Some(size) = answer.body().size_hint().exact() else { return answer };
        if size < MIN_BYTES.into() {
            // It has two forms once it has grown.
            if answer.headers().contains_key(header::ETAG) {
                vary(&mut answer);
            }
            return answer;
        }
        let mut answer = gzip(self.accept_encoding.take(), answer);
        if answer.headers().contains_key(header::CONTENT_ENCODING) {
            retag(&mut answer);
        }
        answer
    }

    /// A 304 has the tag of the form that the client has (RFC 9111, 4.3.4): a cache that reads
    /// another one does not know which of its copies is meant.
    fn name_what_they_have(&self, answer: &mut Response<Body>) {
        let Some(tags) = self.if_none_match.as_ref().and_then(|tags| tags.to_str().ok()) else {
            return;
        };
        let own = answer.headers().get(header::ETAG).and_then(compressed);
        let own = own.filter(|own| {
            let tags = tags.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
            tags.map(str::as_bytes).any(|tag| tag == own.as_bytes())
        });
        if let Some(own) = own {
            answer.headers_mut().insert(header::ETAG, own);
        }
    }
}

/// What the client accepts is weighed by tower-http, and `Vary` set either way.
fn gzip(accept: Option<HeaderValue>, answer: Response<Body>) -> Response<Body> {
    let mut request = Request::new(());
    if let Some(accept) = accept {
        request.headers_mut().insert(header::ACCEPT_ENCODING, accept);
    }
    let mut answer = Some(answer);
    // Called once, and ready at once: the answer is there already.
    let inner = service_fn(move |_| std::future::ready(answer.take().ok_or(())));
    let worth_it = SizeAbove::new(MIN_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new("application/x-ndjson"));
    let mut service =
        Compression::new(inner).quality(CompressionLevel::Fastest).compress_when(worth_it);
    match service.call(request).now_or_never() {
        Some(Ok(answer)) => answer.map(Body::new),
        Some(Err(())) | None => {
            crate::http_error::HttpError::internal("an answer was lost while it was compressed")
                .render(&bookmesh_rpc::api::RequestId::generate(), false)
        }
    }
}

fn retag(answer: &mut Response<Body>) {
    if let Some(tag) = answer.headers().get(header::ETAG).and_then(compressed) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

/// The compressed form's tag; a weak one says nothing about bytes and holds for both.
fn compressed(tag: &HeaderValue) -> Option<HeaderValue> {
    let plain = tag.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
    HeaderValue::from_str(&format!("\"{plain}{GZIP_SUFFIX}\"")).ok()
}

/// Tells caches that the form depends on what the client takes.
fn vary(answer: &mut Response<Body>) {
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(accept: &str, known: &str) -> Wanted {
        let value = |text: &str| (!text.is_empty()).then(|| HeaderValue::from_str(text).unwrap());
        Wanted { accept_encoding: value(accept), if_none_match: value(known) }
    }

    fn answer(kind: &str, bytes: usize) -> Response<Body> {
        let builder = Response::builder().header("content-type", kind).header("etag", "\"7\"");
        builder.body(Body::from("a".repeat(bytes))).unwrap()
    }

    fn form(accept: &str, answer: Response<Body>) -> (Option<String>, String, bool) {
        let answer = asking(accept, "").compress(answer);
        let text =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("content-encoding"), text("etag").unwrap(), text("vary").is_some())
    }

    #[test]
    fn what_is_large_and_wanted_is_compressed_with_a_tag_of_its_own() {
        let json = |bytes| answer("application/json", bytes);
        let (plain, gzip) = ("\"7\"".to_owned(), "\"7-gzip\"".to_owned());
        assert_eq!(form("br, gzip;q=0.5", json(2_000)), (Some("gzip".into()), gzip, true));
        assert_eq!(form("", json(2_000)), (None, plain.clone(), true));
        assert_eq!(form("gzip;q=0", json(2_000)), (None, plain.clone(), true));
        assert_eq!(form("gzip", json(1_000)), (None, plain.clone(), true), "it may grow");
        for kind in ["application/x-ndjson", "text/event-stream"] {
            assert_eq!(form("gzip", answer(kind, 2_000)), (None, plain.clone(), false));
        }
        let mut part = json(2_000);
        part.headers_mut().insert("content-range", HeaderValue::from_static("bytes 0-1999/4000"));
        assert_eq!(form("gzip", part), (None, plain, false));
    }

    #[test]
    fn a_304_names_the_form_that_the_client_has() {
        let tag = |known: &str| {
            let mut unchanged = answer("application/json", 0);
            *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
            let answer = asking("gzip", known).compress(unchanged);
            answer.headers()["etag"].to_str().unwrap().to_owned()
        };
        assert_eq!(tag("\"6\", W/\"7-gzip\""), "\"7-gzip\"");
        assert_eq!(tag("\"7\""), "\"7\"");
        assert_eq!(tag("*"), "\"7\"");
    }
}
