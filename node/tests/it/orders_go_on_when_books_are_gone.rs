//! While the rack of books is gone, orders are refused at once instead of each waiting for it, and
//! are read as ever; when it is back, they are taken again by themselves. What a book's rack
//! answers, be it no, is no failure of it.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::api::Answer;
use crate::support::shop::{add_book, order, order_keyed, read_order};
use crate::support::{Api, eventually, mesh, rack};

/// Refused orders that are timed.
const REFUSED: usize = 30;
/// Answers of "no" that would open a breaker many times over, were they failures.
const NOES: usize = 12;
/// Clients that meet the dead rack at the same time.
const TOGETHER: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_book_rack_costs_no_order_more_than_its_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let books = mesh::worker("books", dir.path(), &ork.p2p());
    let orders = mesh::order_worker("orders", dir.path(), &ork.p2p());
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let (api, worker) = (Api::new(gateway.http()), Api::new(orders.http()));
    rack::leader(&api, mesh::RACK).await;
    rack::leader(&api, mesh::ORDER_RACK).await;
    let book = add_book(&api, "Emma", "12.90").await;
    let unpriced: u64 = api.add("Sanditon").await.parse().unwrap();
    let first = order_keyed(&api, "first", book, 1).await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let id = first.body["id"].as_u64().unwrap();

    // Each sort in a row: an answer of another sort would close what the one before opened.
    for (book, quantity, no) in [
        (book + 1_000, 1, StatusCode::NOT_FOUND),
        (unpriced, 1, StatusCode::CONFLICT),
        (book, 0, StatusCode::BAD_REQUEST),
    ] {
        for _ in 0..NOES {
            assert_eq!(order(&api, book, quantity).await.status, no);
        }
    }
    assert_eq!(breaker(&worker).await["state"], "closed", "a no is an answer");
    assert_eq!(opened(&worker).await, 0);

    books.kill();
    let waited = Instant::now();
    let answers = futures::future::join_all((0..TOGETHER).map(|_| order(&api, book, 1))).await;
    let waited = waited.elapsed();
    answers.iter().for_each(is_refusal);
    eventually("the breaker opens", || async {
        is_refusal(&order(&api, book, 1).await);
        (breaker(&worker).await["state"] != "closed").then_some(())
    })
    .await;
    let asked = questions(&worker).await;
    let mut times = Vec::with_capacity(REFUSED);
    for _ in 0..REFUSED {
        let began = Instant::now();
        is_refusal(&order(&api, book, 1).await);
        times.push(began.elapsed());
    }
    times.sort();
    let (median, asked) = (times[REFUSED / 2], questions(&worker).await - asked);
    println!("refused in {median:?} (median), {asked} questions sent; closed, it took {waited:?}");
    assert!(median < waited / 10, "as long as asking: {times:?}");
    let trials = 1 + times.iter().sum::<Duration>().as_millis() as u64 / TRIAL_MS;
    assert!(asked <= trials * QUESTIONS_A_TRIAL, "{asked} questions for {trials} trials");
    assert_eq!(opened(&worker).await, 1);
    let state = metric(&worker, "circuit_breaker_state").await;
    assert!(state.is_some_and(|state| state > 0), "{state:?}");

    eventually("the gateway tells why", || async {
        let health = api.get("/health").await.body;
        let racks = health["racks"].as_array()?.clone();
        let orders = racks.into_iter().find(|rack| rack["id"] == mesh::ORDER_RACK)?;
        let named = orders["reason"].as_str()?.contains(mesh::RACK);
        (orders["status"] == "degraded" && named).then_some(())
    })
    .await;
    assert_eq!(read_order(&api, id).await, first.body, "orders are read as ever");
    assert_eq!(api.get("/v1/orders").await.header("x-total-count"), "1");
    let list = api.get("/books").await;
    assert_eq!(list.status, StatusCode::SERVICE_UNAVAILABLE, "{}", list.body);
    let partial = api.get("/books?partial=true").await;
    assert_eq!(partial.status, StatusCode::PARTIAL_CONTENT, "{}", partial.body);
    assert_eq!(partial.header("x-missing-racks"), mesh::RACK);
    let again = order_keyed(&api, "first", book, 1).await.unwrap();
    assert_eq!((again.status, again.body), (StatusCode::CREATED, first.body));

    let _books = mesh::worker("books", dir.path(), &ork.p2p());
    eventually("the breaker closes with nobody ordering", || async {
        (breaker(&worker).await["state"] == "closed").then_some(())
    })
    .await;
    let taken = order(&api, book, 1).await;
    assert_eq!(taken.status, StatusCode::CREATED, "{}", taken.body);
    assert_eq!(api.get("/books").await.status, StatusCode::OK);
    assert_eq!(metric(&worker, "circuit_breaker_state").await, Some(0));
}

/// The shortest pause between two trials of a rack, and what one trial may send: the lone member
/// is tried again and again for a second, with growing pauses.
const TRIAL_MS: u64 = 250;
const QUESTIONS_A_TRIAL: u64 = 12;

fn is_refusal(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
    assert!(answer.body.to_string().contains(mesh::RACK), "{}", answer.body);
}

/// The breaker towards the book rack, as its own worker shows it.
async fn breaker(worker: &Api) -> Value {
    let health = worker.get("/health").await.body;
    assert_eq!(health["breakers"][0]["dependency"], mesh::RACK, "{health}");
    assert_eq!(health["breakers"].as_array().unwrap().len(), 1, "{health}");
    health["breakers"][0].clone()
}

/// How often it opened.
async fn opened(worker: &Api) -> u64 {
    metric(worker, "circuit_breaker_opened_total").await.unwrap()
}

/// Questions for books that this worker began.
async fn questions(worker: &Api) -> u64 {
    let text = metrics(worker).await;
    let lines = text.lines().filter(|line| line.starts_with("mesh_requests_total{"));
    let lines = lines.filter(|line| line.contains("method=\"getThing\""));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A metric of the book rack's breaker.
async fn metric(worker: &Api, name: &str) -> Option<u64> {
    let begin = format!("{name}{{dependency=\"{}\"}} ", mesh::RACK);
    metrics(worker).await.lines().find_map(|line| line.strip_prefix(&begin)?.parse().ok())
}

async fn metrics(worker: &Api) -> String {
    worker.get("/metrics").await.body.as_str().unwrap().to_owned()
}
