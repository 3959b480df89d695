//! The key of a write: what makes it safe to send again.

use axum::http::{HeaderName, header};
use bookmesh_rpc::api::{ClientKey, FieldError, MAX_KEY_CHARS, RequestKey};

use crate::app::App;
use crate::call::Call;
use crate::http_error::HttpError;

/// A client's own key: the same one with the same request gives the first answer again for 24
/// hours, whichever gateway is asked, and with another request 409. A rack remembers it, so a key
/// holds for the writes of one rack.
///
/// Remembered is what a rack's log decided, its refusals included. What never came that far (an
/// invalid body, a rack that is unavailable) is looked at anew.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The client's key when it gave one, else a new one of this gateway. The request that a client's
/// key stands for is its method, its path, its `If-Match` and its body.
///
/// # Errors
/// 400 when the header is there and no key.
pub(crate) fn of(app: &App, call: &Call, body: &[u8]) -> Result<RequestKey, HttpError> {
    let name = IDEMPOTENCY_KEY;
    let mut given = call.header_values(&name);
    let Some(value) = given.next() else { return Ok(app.request_key()) };
    // Visible ASCII and spaces, so that bytes are characters; a header may also hold tabs.
    let is_key = |text: &&str| (1..=MAX_KEY_CHARS).contains(&text.len()) && !text.contains('\t');
    let text = value.to_str().ok().filter(is_key);
    let (Some(text), None) = (text, given.next()) else {
        let message =
            format!("must be given once, and be 1 to {MAX_KEY_CHARS} printable ASCII characters");
        let field = "Idempotency-Key".to_owned();
        return Err(HttpError::validation(vec![FieldError { field, message }]));
    };
    let lines: Vec<_> = call.header_values(&header::IF_MATCH).map(|line| line.as_bytes()).collect();
    let if_match = lines.join(&b',');
    let (method, path) = (call.method().as_str(), call.uri().path());
    let parts = [method.as_bytes(), path.as_bytes(), &if_match, body];
    Ok(RequestKey::Client(ClientKey::new(text, &parts)))
}
