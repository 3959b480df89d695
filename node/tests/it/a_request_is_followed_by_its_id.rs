//! A request's id stands in the log of every node that took part in it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::mesh::{ORDER_RACK, RACK, env, ork};
use crate::support::shop::add_book;
use crate::support::{Api, Process, rack};

#[tokio::test(flavor = "multi_thread")]
async fn from_the_gateway_through_the_orders_to_the_books() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let ork = ork(dir);
    let bootstrap = ork.p2p();
    let start = |name: &str, args: &[&str]| {
        let data = format!("{name}-data");
        let extra = [
            ("BOOTSTRAP", bootstrap.as_str()),
            ("DATA_DIR", data.as_str()),
            ("LOG_FORMAT", "json"),
            ("LOG_LEVEL", "info,bookmesh_node=debug"),
        ];
        Process::start(name, dir, args, &env(&extra))
    };
    let books = start("books", &["worker", "--type", "book", "--rack", RACK]);
    let orders = start("orders", &["worker", "--type", "order", "--rack", ORDER_RACK]);
    let gateway = start("gateway", &["gateway"]);
    let api = Api::new(gateway.http());
    rack::leader(&api, RACK).await;
    rack::leader(&api, ORDER_RACK).await;
    let book = add_book(&api, "Emma", "12.90").await;

    let request = api.request(Method::POST, "/v1/orders").header("x-request-id", "follow-me-1");
    let body = json!({"book_id": book, "quantity": 1});
    let answer = Api::answer(request, Some(body)).await.unwrap();
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.header("x-request-id"), "follow-me-1");

    for (process, method) in [(&orders, "placeOrder"), (&books, "getThing")] {
        let line = line(process, "follow-me-1").await;
        assert_eq!(line["method"], method, "{line}");
    }
    let line = line(&gateway, "follow-me-1").await;
    assert_eq!((&line["path"], &line["status"]), (&json!("/v1/orders"), &json!(201)), "{line}");
}

/// The line with this request id; lines are written a moment after what they tell.
async fn line(process: &Process, id: &str) -> Value {
    crate::support::eventually("the line", || async {
        let log = process.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["request_id"] == id)
    })
    .await
}
