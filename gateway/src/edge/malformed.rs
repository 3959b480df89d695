//! hyper answers what is no HTTP request by itself, with a bare head. Here such a head is known by
//! its look, and becomes an error of the usual shape.

use axum::body::to_bytes;
use axum::http::{Response, StatusCode};
use bookmesh_rpc::api::RequestId;
use futures::FutureExt;

use super::headers;
use crate::call::X_REQUEST_ID;
use crate::http_error::HttpError;

/// hyper's heads have some 90 to 130 bytes.
const MAX_HEAD_BYTES: usize = 192;
/// More than the error's JSON has.
const MAX_BODY_BYTES: usize = 4_096;

/// Where in a write a head of hyper's own error begins: it is the last that is written on a
/// connection, and may stand behind an answer to the request before.
///
/// Most writes end with the body of an answer and cost a look at four bytes.
pub(super) fn begins_at(write: &[u8]) -> Option<usize> {
    if !write.ends_with(b"\r\n\r\n") {
        return None;
    }
    let searched = write.len().saturating_sub(MAX_HEAD_BYTES);
    let at = write[searched..].windows(10).rposition(|ten| ten == b"HTTP/1.1 4")? + searched;
    status(&write[at..]).map(|_| at)
}

/// The status of an error of hyper's own. Every answer of ours has headers beside those that hyper
/// writes, so one that has no other can't be ours.
fn status(head: &[u8]) -> Option<StatusCode> {
    let mut lines = std::str::from_utf8(head).ok()?.strip_suffix("\r\n\r\n")?.split("\r\n");
    let status = StatusCode::from_bytes(lines.next()?.get(9..12)?.as_bytes()).ok()?;
    let mut empty = false;
    for line in lines {
        match line.split_once(':')? {
            ("content-length", " 0") => empty = true,
            ("connection" | "date", _) => {}
            _ => return None,
        }
    }
    empty.then_some(status)
}

/// What is sent instead of that head.
pub(super) fn answer(head: &[u8]) -> Option<Vec<u8>> {
    let status = status(head)?;
    let id = RequestId::generate();
    tracing::info!(target: "http", status = status.as_u16(), request_id = %id, "malformed request");
    let error = match status {
        StatusCode::URI_TOO_LONG => HttpError::uri_too_long(super::MAX_URI_BYTES),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => HttpError::head_too_large(),
        _ => HttpError::malformed(status),
    };
    let mut answer: Response<_> = error.render(&id, false);
    headers::secure(&mut answer);
    let (parts, body) = answer.into_parts();
    // It is there as a whole already.
    let body = to_bytes(body, MAX_BODY_BYTES).now_or_never()?.ok()?;
    let own = std::str::from_utf8(head).ok()?;
    let kept = own.split("\r\n").filter(|line| !line.starts_with("content-length"));
    let mut bytes = Vec::with_capacity(1_024);
    for line in kept.filter(|line| !line.is_empty()) {
        bytes.extend_from_slice(line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    for (name, value) in &parts.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            bytes.extend_from_slice(part);
        }
    }
    let ends = format!("{X_REQUEST_ID}: {id}\r\ncontent-length: {}\r\n\r\n", body.len());
    bytes.extend_from_slice(ends.as_bytes());
    bytes.extend_from_slice(&body);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
        date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\r\n";

    #[test]
    fn a_bare_head_is_found_at_the_end_of_a_write() {
        assert_eq!(begins_at(HEAD), Some(0));
        let behind = [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", HEAD].concat();
        assert_eq!(begins_at(&behind), Some(behind.len() - HEAD.len()));
        let far = [&[b'x'; 100_000][..], HEAD].concat();
        assert_eq!(begins_at(&far), Some(100_000));
    }

    #[test]
    fn answers_of_our_own_are_left_as_they_are() {
        let text = std::str::from_utf8(HEAD).unwrap();
        let mut ours = vec![
            text.replace("connection: close", "x-request-id: 7"),
            text.replace("content-length: 0", "content-length: 2"),
            text.replace("content-length: 0\r\n", ""),
            text.replace("400 Bad Request", "200 OK"),
            text.replace("HTTP/1.1", "HTTP/2.0"),
            format!("{text}{{}}"),
            "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            "0\r\n\r\n".to_owned(),
            "\r\n\r\n".to_owned(),
            String::new(),
        ];
        // Every part of a write that the kernel took in two.
        ours.extend((1..HEAD.len()).map(|at| text[at..].to_owned()));
        ours.extend((0..HEAD.len()).map(|at| text[..at].to_owned()));
        for write in ours {
            assert_eq!(begins_at(write.as_bytes()), None, "{write:?}");
        }
    }

    #[test]
    fn the_answer_has_the_usual_shape_and_keeps_what_hyper_says_of_the_connection() {
        let bytes = answer(HEAD).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["error"]["code"], "ERR_MALFORMED_REQUEST");
        let id = body["requestId"].as_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
        assert_eq!(head.matches("content-length").count(), 1);
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
    }
}
