//! `/events` tells every committed change of every rack, in each rack's order; a reader that comes
//! back with the last id it saw misses nothing and gets nothing twice.

use std::collections::BTreeMap;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::mesh::{RACK, env};
use crate::support::{Api, PATIENCE, Process};

/// A reader of server-sent events.
struct Reader {
    response: Response,
    buffer: String,
    /// What a browser would send when it comes back.
    last_id: String,
}

impl Reader {
    async fn open(api: &Api, path: &str, last_id: &str) -> Self {
        let mut request = api.request(Method::GET, path);
        if !last_id.is_empty() {
            request = request.header("last-event-id", last_id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, buffer: String::new(), last_id: last_id.to_owned() }
    }

    /// The next event's name and data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            while let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                let fields: BTreeMap<_, _> =
                    block.lines().filter_map(|line| line.split_once(": ")).collect();
                if let Some(id) = fields.get("id") {
                    self.last_id = (*id).to_owned();
                }
                if let Some(data) = fields.get("data") {
                    let data = serde_json::from_str(data).unwrap();
                    return (fields["event"].to_owned(), data);
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("no event came").unwrap().expect("the stream ended");
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Waits for the first id, which says where it begins.
    async fn begun(&mut self) {
        while self.last_id.is_empty() || self.last_id.contains("now") {
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("nothing came").unwrap().expect("the stream ended");
            let text = std::str::from_utf8(&chunk).unwrap();
            if let Some(line) = text.lines().rev().find_map(|line| line.strip_prefix("id: ")) {
                self.last_id = line.to_owned();
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<(String, Value)> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }
}

fn of(events: &[(String, Value)], rack: &str) -> Vec<String> {
    let of_rack = events.iter().filter(|(_, data)| data["rack_id"] == rack);
    of_rack.map(|(name, data)| format!("{name} {}", data["id"].as_str().unwrap())).collect()
}

async fn checkout(api: &Api, id: u64, status: &str) -> StatusCode {
    api.post("/checkout", json!({"id": id, "info": {"status": status}})).await.status
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_gets_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = Process::start("up", dir.path(), &["up", "--workers", "3"], &env(&[]));
    let api = Api::new(mesh.http());
    api.add("Before").await;

    let mut reader = Reader::open(&api, "/events", "").await;
    reader.begun().await;
    let body = json!({"title": "Emma", "author": "Jane Austen", "price": "5"});
    api.post("/v1/books", body).await;
    assert_eq!(checkout(&api, 2, "checked-out").await, StatusCode::OK);
    // Refused: it changes nothing, and is no event.
    assert_eq!(checkout(&api, 2, "checked-out").await, StatusCode::CONFLICT);
    api.post("/v1/orders", json!({"book_id": 2, "quantity": 3})).await;
    assert_eq!(checkout(&api, 2, "available").await, StatusCode::OK);
    let live = reader.take(4).await;
    assert_eq!(of(&live, RACK), ["register 2", "checkout 2", "return 2"]);
    assert_eq!(of(&live, "order-rack-001"), ["order 1"]);
    let (_, first) = &live[0];
    assert_eq!((&first["type"], &first["version"]), (&json!("book"), &json!(1)));
    assert_eq!(first["changes"]["info"]["name"], "Emma");

    // While it is away things go on in both racks.
    let last_id = reader.last_id.clone();
    drop(reader);
    api.send(Method::DELETE, "/v1/books/2", None).await;
    api.send(Method::DELETE, "/books/1", None).await;
    api.add("While away").await;
    let mut reader = Reader::open(&api, "/events", &last_id).await;
    let missed = reader.take(3).await;
    assert_eq!(of(&missed, RACK), ["withdraw 2", "remove 1", "register 3"]);

    // From the beginning it is the same history, once.
    let mut all = Reader::open(&api, "/events?from=beginning", "").await;
    let all = all.take(8).await;
    let expected = [
        "register 1",
        "register 2",
        "checkout 2",
        "return 2",
        "withdraw 2",
        "remove 1",
        "register 3",
    ];
    assert_eq!(of(&all, RACK), expected);
    let mut orders = Reader::open(&api, "/events?from=beginning&rack=order-rack-001", "").await;
    let (name, order) = orders.next().await;
    assert_eq!((name.as_str(), &order["changes"]["quantity"]), ("order", &json!(3)));
}

#[tokio::test]
async fn a_position_that_is_none_of_this_mesh_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = Process::start("up", dir.path(), &["up", "--workers", "1"], &env(&[]));
    let api = Api::new(mesh.http());
    let long = vec!["b0:1"; 20_000].join(",");
    for id in ["nonsense", "b0:99999999", "b0:1,b0:2", &long] {
        let request = api.request(Method::GET, "/events").header("last-event-id", id);
        let answer = Api::answer(request, None).await.unwrap();
        // A head that is larger than heads may be is refused before it is read.
        let statuses = [StatusCode::BAD_REQUEST, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
        assert!(statuses.contains(&answer.status), "{id:.40}: {}", answer.body);
    }
    for (query, status) in [("rack=no-such-rack", 404), ("from=middle", 400), ("colour=red", 400)] {
        let answer = api.get(&format!("/events?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {}", answer.body);
    }
}
