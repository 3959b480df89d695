//! A batch becomes answers, however often the way breaks.
//!
//! It has no `Idempotency-Key`: a book that is there already is skipped, so a batch that is sent
//! again adds nothing twice; and the rack remembers keys book by book, for a day, and has no room
//! for a large import's. What that costs is exactness of the count: when an answer was lost on its
//! way, the books that the batch had brought are counted as skipped.

use std::time::Duration;

use bookmesh_rpc::api::RackId;
use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;

use super::super::failure::Failure;
use super::super::http::{Answer, Api};
use super::reader::{Batch, Refused};

/// How long a batch is tried again while the gateway or its rack is away.
const RETRY_FOR: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What became of rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// New books.
    pub(super) created: u64,
    /// Books that were there, be it by an attempt of this batch that was not answered.
    pub(super) skipped: u64,
    /// Rows that did not go in.
    pub(super) refused: Vec<Refused>,
    /// Rows whose ISBN was none.
    pub(super) isbns_left_out: u64,
    /// Bytes of the file that they took.
    pub(super) bytes: u64,
}

impl Outcome {
    /// Of rows that were never sent.
    pub(super) fn refused(refused: Vec<Refused>) -> Self {
        Self { refused, ..Self::default() }
    }
}

/// Sends batches to one rack.
#[derive(Debug)]
pub(super) struct Sender {
    api: Api,
    rack: RackId,
}

impl Sender {
    /// To this rack.
    pub(super) fn new(api: Api, rack: RackId) -> Self {
        Self { api, rack }
    }

    /// Sends a batch, and again while there is hope.
    pub(super) async fn send(&self, batch: Batch) -> Result<Outcome, Failure> {
        match self.insist(body(&self.rack, &batch.books)).await {
            Ok(answer) => outcome(batch, &answer.data()),
            // A refusal of the whole batch is one of each row; the next batch may be better.
            Err(Failure::Refused { status: 400 | 413 | 422, message }) => {
                let refuse = |place| Refused { place, reason: message.clone() };
                let refused = batch.places.into_iter().map(refuse).collect();
                Ok(Outcome { refused, bytes: batch.bytes, ..Outcome::default() })
            }
            Err(failure) => Err(failure),
        }
    }

    async fn insist(&self, body: Bytes) -> Result<Answer, Failure> {
        let until = Instant::now() + RETRY_FOR;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.api.post_bytes("/books/batch", body.clone()).await {
                Err(failure) if failure.is_passing() && Instant::now() + pause < until => {
                    // Imports that failed together do not come back together.
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => return other,
            }
        }
    }
}

/// The request around books that are JSON already.
fn body(rack: &RackId, books: &[u8]) -> Bytes {
    let head = format!(r#"{{"rack_id":"{rack}","on_conflict":"skip","books":["#);
    [head.as_bytes(), books, b"]}"].concat().into()
}

/// Reads one result for each row.
fn outcome(batch: Batch, data: &Value) -> Result<Outcome, Failure> {
    let results = data.as_array().filter(|results| results.len() == batch.places.len());
    let Some(results) = results else {
        let what = "the gateway did not answer with one result for each book of a batch";
        return Err(Failure::Failed(what.into()));
    };
    let mut outcome =
        Outcome { bytes: batch.bytes, isbns_left_out: batch.isbns_left_out, ..Outcome::default() };
    for (place, result) in batch.places.into_iter().zip(results) {
        match result.get("status").and_then(Value::as_str) {
            Some("created") => outcome.created += 1,
            Some("skipped" | "updated") => outcome.skipped += 1,
            _ => outcome.refused.push(Refused { place, reason: reason(result) }),
        }
    }
    Ok(outcome)
}

fn reason(result: &Value) -> String {
    let message = result.pointer("/error/message").and_then(Value::as_str);
    message.map_or_else(|| result.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::reader::Place;
    use super::*;

    fn batch(rows: u64) -> Batch {
        let place = |line| Place { line, title: format!("T{line}") };
        Batch { places: (2..2 + rows).map(place).collect(), bytes: 7, ..Batch::default() }
    }

    #[test]
    fn each_row_gets_its_own_answer() {
        let data = json!([
            {"status": "created", "id": "1"},
            {"status": "skipped", "id": "1"},
            {"status": "error", "error": {"code": "ERR_VALIDATION", "message": "tags: too many"}},
        ]);
        let outcome = outcome(batch(3), &data).unwrap();
        assert_eq!((outcome.created, outcome.skipped, outcome.bytes), (1, 1, 7));
        assert_eq!(outcome.refused[0].place.line, 4);
        assert_eq!(outcome.refused[0].reason, "tags: too many");
    }

    #[test]
    fn answers_that_do_not_match_the_rows_are_no_success() {
        for data in [json!([]), json!({}), json!(null), json!([{"status": "created"}])] {
            assert!(outcome(batch(2), &data).is_err(), "{data}");
        }
    }

    #[test]
    fn the_request_is_json() {
        let rack: RackId = "book-rack-001".parse().unwrap();
        let parsed: Value = serde_json::from_slice(&body(&rack, b"{},{}")).unwrap();
        let expected = json!({"rack_id": rack, "on_conflict": "skip", "books": [{}, {}]});
        assert_eq!(parsed, expected);
    }

    /// Answers one request a connection with these statuses in turn, and tells what was sent.
    async fn gateway(listener: tokio::net::TcpListener, statuses: &[u16]) -> Vec<String> {
        let mut requests = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"]}") {
                assert!(stream.read_buf(&mut request).await.unwrap() > 0);
            }
            requests.push(String::from_utf8(request).unwrap().to_lowercase());
            let body = r#"{"statusCode":200,"data":[{"status":"created","id":"1"}]}"#;
            let answer = format!(
                "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len(),
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    }

    #[tokio::test]
    async fn a_batch_is_sent_again_without_a_key_while_the_rack_is_away() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let sender = Sender::new(api, "book-rack-001".parse().unwrap());
        let (outcome, requests) =
            tokio::join!(sender.send(batch(1)), gateway(listener, &[503, 504, 200]));
        assert_eq!(outcome.unwrap().created, 1);
        assert_eq!(requests.len(), 3);
        for request in requests {
            assert!(request.starts_with("post /books/batch "), "{request}");
            assert!(request.contains(r#""on_conflict":"skip""#), "what makes it safe: {request}");
            assert!(!request.contains("\r\nidempotency-key:"), "{request}");
        }
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_as_a_whole_is_not_sent_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let sender = Sender::new(api, "book-rack-001".parse().unwrap());
        let (outcome, _) = tokio::join!(sender.send(batch(2)), gateway(listener, &[413]));
        assert_eq!(outcome.unwrap().refused.len(), 2);
    }
}
