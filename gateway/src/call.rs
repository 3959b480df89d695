//! One request as a handler sees it: its id, its deadline, its parts, and its body once asked for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::RequestPartsExt;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use bookmesh_rpc::api::{FieldError, Kind, RequestId, ThingId};
use bookmesh_rpc::mesh::Context;
use bytes::BytesMut;
use futures::StreamExt;

use crate::http_error::HttpError;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request may use up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body_bytes: usize,
    pub(crate) time: Duration,
    /// Requests that take as long are logged as warnings, with where their time went.
    pub(crate) slow: Duration,
    /// Errors tell their details.
    pub(crate) detailed: bool,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) context: Context,
    parts: Parts,
    // Never locked: a body is `Send` alone, and calls are shared by reference across awaits.
    body: Mutex<Body>,
    limits: Limits,
}

impl Call {
    pub(crate) fn new(request: Request, limits: Limits) -> Self {
        let request_id = request_id(request.headers());
        let context = Context { request_id, deadline: Instant::now() + limits.time };
        let (parts, body) = request.into_parts();
        Self { context, parts, body: Mutex::new(body), limits }
    }

    pub(crate) fn method(&self) -> &Method {
        &self.parts.method
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// All values of a header.
    pub(crate) fn header_values(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.parts.headers.get_all(name).iter()
    }

    /// The `{id}` of the path, decoded.
    pub(crate) async fn path_text(&mut self) -> Result<String, HttpError> {
        let path = self.parts.extract::<Path<String>>().await;
        path.map(|Path(text)| text).map_err(|_| HttpError::not_found())
    }

    /// The `{id}` of the path as a thing's id.
    pub(crate) async fn path_thing_id(&mut self) -> Result<ThingId, HttpError> {
        let text = self.path_text().await?;
        text.parse().map_err(|error| HttpError::of_api(error, Kind::Book))
    }

    /// The whole JSON body, bounded in size and in time.
    pub(crate) async fn body(&mut self) -> Result<Bytes, HttpError> {
        let headers = &self.parts.headers;
        if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
            return Err(HttpError::media_type());
        }
        if announced_bytes(headers).is_some_and(|bytes| bytes > self.limits.body_bytes as u64) {
            return Err(HttpError::too_large(self.limits.body_bytes));
        }
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        let body = std::mem::take(body);
        match tokio::time::timeout(self.context.remaining(), read(body, self.limits.body_bytes))
            .await
        {
            Ok(bytes) => bytes,
            Err(_) => Err(HttpError::body_too_slow()),
        }
    }
}

async fn read(body: Body, max_bytes: usize) -> Result<Bytes, HttpError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| unreadable())?;
        if bytes.len() + chunk.len() > max_bytes {
            return Err(HttpError::too_large(max_bytes));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn unreadable() -> HttpError {
    let message = "could not be read to its end".to_owned();
    HttpError::validation(vec![FieldError { field: "body".into(), message }])
}

/// The client's id for its request, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> RequestId {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.parse().ok()).unwrap_or_else(RequestId::generate)
}

fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `application/json`, alone or with UTF-8 as its charset.
fn is_json(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|part| match part.split_once('=') {
        Some((name, charset)) if name.eq_ignore_ascii_case("charset") => {
            charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_from_what_is_not() {
        for text in ["application/json", "Application/JSON; charset=UTF-8", "application/json;v=1"]
        {
            assert!(is_json(&HeaderValue::from_static(text)), "{text}");
        }
        for text in ["text/plain", "application/jsonp", "application/json; charset=latin1", ""] {
            assert!(!is_json(&HeaderValue::from_static(text)), "{text}");
        }
    }

    #[test]
    fn a_request_id_that_is_no_visible_ascii_is_replaced() {
        let with = |text: &'static [u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(text).unwrap());
            request_id(&headers)
        };
        assert_eq!(with(b"abc-1").as_str(), "abc-1");
        assert_ne!(with(b"a b").as_str(), "a b");
        assert_eq!(with(b"\xff\xfe").as_str().len(), 16);
    }
}
