//! Every error that a client can get: its status, its code, its JSON. Causes are logged here and
//! never sent.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use bookmesh_rpc::api::{ApiError, FieldError, Kind, RackId, RequestId};
use serde::Serialize;

use bookmesh_rpc::routing::leader::Failure;

/// Field errors in one answer; a client that breaks more rules learns of the rest later.
pub(crate) const MAX_FIELD_ERRORS: usize = 100;

/// Seconds that a client waits before it asks an unavailable rack again. A rack has a new leader
/// within two seconds.
const RETRY_AFTER_S: u64 = 2;

/// An answer that is not what the client wanted.
#[derive(Debug)]
pub(crate) struct HttpError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) errors: Vec<FieldError>,
    /// Told outside production only.
    pub(crate) detail: Option<String>,
    /// When a 503 or 429 is worth asking again, in seconds.
    pub(crate) retry_after_s: u64,
}

impl HttpError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let (message, errors, retry_after_s) = (message.into(), Vec::new(), RETRY_AFTER_S);
        Self { status, code, message, errors, detail: None, retry_after_s }
    }

    /// 400 with every field that breaks a rule.
    pub(crate) fn validation(mut errors: Vec<FieldError>) -> Self {
        errors.truncate(MAX_FIELD_ERRORS);
        let message = ApiError::Invalid(errors.clone()).to_string();
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "ERR_VALIDATION", message) }
    }

    /// 500; the cause goes to the log.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed for a fault of our own");
        let message = "internal error; the log has its cause under this requestId";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ERR_INTERNAL", message)
    }

    /// 503: worth asking again.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_RACK_UNAVAILABLE", message)
    }

    /// 503: there is no room for a client's key before that time.
    fn keys_full(error: &ApiError, free_in_s: u64) -> Self {
        Self { retry_after_s: free_in_s, ..Self::unavailable(error.to_string()) }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "ERR_NOT_FOUND", "there is nothing at this path")
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "this path does not take this method; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "ERR_METHOD_NOT_ALLOWED", message)
    }

    pub(crate) fn media_type() -> Self {
        let message = "send the body as Content-Type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "ERR_UNSUPPORTED_MEDIA_TYPE", message)
    }

    pub(crate) fn too_large(max_bytes: usize) -> Self {
        let message = format!("a body may have at most {max_bytes} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "ERR_PAYLOAD_TOO_LARGE", message)
    }

    pub(crate) fn body_too_slow() -> Self {
        let message = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "ERR_REQUEST_TIMEOUT", message)
    }

    /// 429: the client has used up its requests for now.
    pub(crate) fn rate_limited(wait: std::time::Duration) -> Self {
        let message = "too many requests; wait as long as Retry-After says";
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, "ERR_RATE_LIMITED", message);
        // Rounded up: asked again after it, there is a token.
        Self { retry_after_s: (wait.as_secs_f64().ceil() as u64).max(1), ..error }
    }

    pub(crate) fn no_host() -> Self {
        let message = "an HTTP/1.1 request names its host once, in the Host header";
        Self::new(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", message)
    }

    pub(crate) fn uri_too_long(max_bytes: usize) -> Self {
        let message = format!("a path with its query may have at most {max_bytes} bytes");
        Self::new(StatusCode::URI_TOO_LONG, "ERR_URI_TOO_LONG", message)
    }

    pub(crate) fn head_too_large() -> Self {
        let message = "the request has too many headers, or too large ones";
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "ERR_HEAD_TOO_LARGE", message)
    }

    pub(crate) fn malformed(status: StatusCode) -> Self {
        Self::new(status, "ERR_MALFORMED_REQUEST", "this is no HTTP request that can be read")
    }

    pub(crate) fn version_mismatch() -> Self {
        let message = "If-Match does not name the current version; read it again";
        Self::new(StatusCode::PRECONDITION_FAILED, "ERR_VERSION_MISMATCH", message)
    }

    /// What a node answered, about things of this kind.
    pub(crate) fn of_api(error: ApiError, kind: Kind) -> Self {
        let (status, code) = match &error {
            ApiError::Invalid(errors) => return Self::validation(errors.clone()),
            ApiError::Internal { .. } | ApiError::NotServed { .. } => return Self::internal(error),
            ApiError::IdInvalid { .. } => (StatusCode::BAD_REQUEST, "ERR_ID_INVALID"),
            ApiError::ThingNotFound { id } => {
                let message = format!("there is no {kind} {id}");
                return Self::new(StatusCode::NOT_FOUND, not_found_code(kind), message);
            }
            ApiError::RackNotFound { .. } | ApiError::RackRetired { .. } => {
                (StatusCode::NOT_FOUND, "ERR_RACK_NOT_FOUND")
            }
            ApiError::RackNotEmpty { .. } => (StatusCode::CONFLICT, "ERR_RACK_NOT_EMPTY"),
            ApiError::BookNotFound { .. } => (StatusCode::NOT_FOUND, "ERR_BOOK_NOT_FOUND"),
            ApiError::NotForSale { .. } => (StatusCode::CONFLICT, "ERR_BOOK_NOT_FOR_SALE"),
            ApiError::BooksUnavailable { rack, why, retry_after_s } => {
                let message = format!("rack {rack} is unavailable; try again shortly");
                return Self {
                    detail: Some(why.clone()),
                    retry_after_s: (*retry_after_s).max(1),
                    ..Self::unavailable(message)
                };
            }
            ApiError::CheckedOut { .. } => (StatusCode::CONFLICT, "ERR_BOOK_CHECKED_OUT"),
            ApiError::NotCheckedOut { .. } => (StatusCode::CONFLICT, "ERR_BOOK_NOT_CHECKED_OUT"),
            ApiError::Conflict { .. } => (StatusCode::CONFLICT, "ERR_CONFLICT"),
            ApiError::KeyConflict => (StatusCode::CONFLICT, "ERR_IDEMPOTENCY_CONFLICT"),
            ApiError::TooFarBehind { .. } => {
                let message = format!("no member is as fresh as max_lag_ms asks for: {error}");
                return Self::unavailable(message);
            }
            ApiError::KeysFull { free_in_s, .. } => return Self::keys_full(&error, *free_in_s),
            ApiError::VersionMismatch { .. } => {
                (StatusCode::PRECONDITION_FAILED, "ERR_VERSION_MISMATCH")
            }
            ApiError::NotLeader { .. }
            | ApiError::NotRegistryLeader { .. }
            | ApiError::NotMember { .. }
            | ApiError::Unavailable { .. }
            | ApiError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "ERR_RACK_UNAVAILABLE"),
            // Whether it was applied is not known, as when a rack does not answer.
            ApiError::DeadlinePassed | ApiError::OutcomeForgotten => {
                (StatusCode::GATEWAY_TIMEOUT, "ERR_TIMEOUT")
            }
        };
        Self::new(status, code, error.to_string())
    }

    /// What became of a call to a rack.
    pub(crate) fn of_rack(rack: &RackId, failure: Failure, kind: Kind) -> Self {
        match failure {
            Failure::Refused(error) => Self::of_api(error, kind),
            Failure::Unavailable(why) | Failure::Untouched(why) => {
                let message = format!("rack {rack} is unavailable; try again shortly");
                Self { detail: Some(why), ..Self::unavailable(message) }
            }
            Failure::NoAnswer(why) => {
                let message = format!("rack {rack} was reached and did not answer in time");
                let error = Self::new(StatusCode::GATEWAY_TIMEOUT, "ERR_TIMEOUT", message);
                Self { detail: Some(why), ..error }
            }
            Failure::Fault(cause) => Self::internal(cause),
        }
    }

    /// The answer. `detailed` adds what only developers should read.
    pub(crate) fn render(mut self, request_id: &RequestId, detailed: bool) -> Response<Body> {
        if let Some(detail) = self.detail.take().filter(|_| detailed) {
            self.message = format!("{} ({detail})", self.message);
        }
        let body = ErrorBody {
            status: "error",
            status_code: self.status.as_u16(),
            error: self.parts(),
            request_id: request_id.as_str(),
        };
        let mut response = Response::new(Body::from(crate::answer::json_bytes(&body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, crate::answer::JSON);
        let wait = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
        if wait.contains(&self.status) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }
        response
    }

    /// Code, message and fields, as they stand in an answer and in a batch's results.
    pub(crate) fn parts(&self) -> ErrorParts<'_> {
        ErrorParts { code: self.code, message: &self.message, errors: &self.errors }
    }
}

const fn not_found_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Book => "ERR_BOOK_NOT_FOUND",
        Kind::Order => "ERR_ORDER_NOT_FOUND",
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorBody<'a> {
    status: &'static str,
    status_code: u16,
    error: ErrorParts<'a>,
    request_id: &'a str,
}

/// The `error` object.
#[derive(Serialize)]
pub(crate) struct ErrorParts<'a> {
    code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    errors: &'a [FieldError],
}

#[cfg(test)]
mod tests {
    use super::*;
    use bookmesh_rpc::api::ThingId;

    fn of(error: ApiError) -> (u16, &'static str) {
        let error = HttpError::of_api(error, Kind::Book);
        (error.status.as_u16(), error.code)
    }

    #[test]
    fn each_error_of_a_node_has_its_status_and_code() {
        let id = ThingId::new(0, 1).unwrap();
        let rack: RackId = "r".parse().unwrap();
        let text = String::new;
        let table = [
            (ApiError::invalid("a", "b"), 400, "ERR_VALIDATION"),
            (ApiError::IdInvalid { id: text() }, 400, "ERR_ID_INVALID"),
            (ApiError::ThingNotFound { id }, 404, "ERR_BOOK_NOT_FOUND"),
            (ApiError::RackNotFound { rack: rack.clone() }, 404, "ERR_RACK_NOT_FOUND"),
            (ApiError::RackRetired { rack: rack.clone() }, 404, "ERR_RACK_NOT_FOUND"),
            (ApiError::RackNotEmpty { rack: rack.clone(), things: 3 }, 409, "ERR_RACK_NOT_EMPTY"),
            (ApiError::CheckedOut { id }, 409, "ERR_BOOK_CHECKED_OUT"),
            (ApiError::NotCheckedOut { id }, 409, "ERR_BOOK_NOT_CHECKED_OUT"),
            (ApiError::Conflict { id }, 409, "ERR_CONFLICT"),
            (ApiError::KeyConflict, 409, "ERR_IDEMPOTENCY_CONFLICT"),
            (
                ApiError::KeysFull { what: text(), most: 1, free_in_s: 9 },
                503,
                "ERR_RACK_UNAVAILABLE",
            ),
            (ApiError::OutcomeForgotten, 504, "ERR_TIMEOUT"),
            (ApiError::VersionMismatch { id, version: 2 }, 412, "ERR_VERSION_MISMATCH"),
            (ApiError::NotMember { rack }, 503, "ERR_RACK_UNAVAILABLE"),
            (ApiError::Busy, 503, "ERR_RACK_UNAVAILABLE"),
            (ApiError::DeadlinePassed, 504, "ERR_TIMEOUT"),
            (ApiError::NotServed { method: text() }, 500, "ERR_INTERNAL"),
            (ApiError::internal("x"), 500, "ERR_INTERNAL"),
        ];
        for (error, status, code) in table {
            assert_eq!(of(error.clone()), (status, code), "{error:?}");
        }
    }

    #[test]
    fn a_cause_is_never_sent() {
        let error = HttpError::of_api(ApiError::internal("disk 7 is on fire"), Kind::Book);
        assert!(!error.message.contains("fire"));
    }
}
