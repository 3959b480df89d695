//! Successful answers: the envelope, and bytes of JSON.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `{"statusCode":200,"data":…,"message":"Success"}`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    status_code: u16,
    data: T,
    message: &'a str,
}

/// An answer in the envelope.
pub(crate) fn envelope<T: Serialize>(status: StatusCode, data: T, message: &str) -> Response<Body> {
    json(status, &Envelope { status_code: status.as_u16(), data, message })
}

/// 200 in the envelope.
pub(crate) fn success<T: Serialize>(data: T) -> Response<Body> {
    envelope(StatusCode::OK, data, "Success")
}

/// An answer of plain JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Body> {
    let mut response = Response::new(Body::from(json_bytes(value)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// The bytes of a value that always has JSON: string keys, no failing serializers.
pub(crate) fn json_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    if let Err(error) = serde_json::to_writer(&mut bytes, value) {
        tracing::error!(%error, "an answer has no JSON");
        bytes.clear();
        bytes.extend_from_slice(b"null");
    }
    bytes
}

/// 304: the reader has it.
pub(crate) fn not_modified() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// Sets a header, unless it would be empty.
pub(crate) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
        response.headers_mut().insert(name, value);
    }
}
