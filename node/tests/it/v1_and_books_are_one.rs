//! `/books` and `/v1` show the same books, by the same rules; and an order keeps what its book was.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::mesh::env;
use crate::support::{Api, Process};

fn up(dir: &std::path::Path) -> Process {
    Process::start("up", dir, &["up", "--workers", "1"], &env(&[]))
}

async fn add(api: &Api, title: &str, price: Value) -> Value {
    let body = json!({"title": title, "author": "Somebody", "price": price});
    let answer = api.post("/v1/books", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    assert_eq!(answer.header("location"), format!("/v1/books/{}", answer.body["id"]));
    answer.body
}

#[tokio::test]
async fn a_book_made_on_one_surface_is_seen_on_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = up(dir.path());
    let api = Api::new(mesh.http());

    let made = add(&api, "Emma", json!(7.5)).await;
    assert_eq!(made["id"], 1);
    assert_eq!((&made["price"], &made["active"]), (&json!("7.50"), &json!(true)));
    let thing = api.get("/books/1").await.body["data"].clone();
    assert_eq!((&thing["info"]["name"], &thing["info"]["price"]), (&json!("Emma"), &json!("7.50")));

    let info = json!({"name": "Dune", "author": "Frank Herbert", "price": 12.9});
    api.post("/books", json!({"type": "book", "info": info})).await;
    let book = api.get("/v1/books/2").await;
    assert_eq!((&book.body["title"], &book.body["price"]), (&json!("Dune"), &json!("12.90")));

    let changed = json!({"title": "Dune Messiah", "price": "9"});
    let put = api.send(Method::PUT, "/v1/books/2", Some(changed)).await;
    assert_eq!(put.body["price"], "9.00");
    assert_eq!(api.get("/books/2").await.body["data"]["info"]["name"], "Dune Messiah");
    let empty = api.send(Method::PUT, "/v1/books/2", Some(json!({}))).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);

    // The version is the entity tag on both.
    let stale = api.request(Method::PUT, "/v1/books/2").header("if-match", "\"1\"");
    let stale = Api::answer(stale, Some(json!({"title": "Lost"}))).await.unwrap();
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let known = api.request(Method::GET, "/v1/books/2").header("if-none-match", "\"2\"");
    assert_eq!(Api::answer(known, None).await.unwrap().status, StatusCode::NOT_MODIFIED);

    let list = api.get("/v1/books?limit=1").await;
    assert_eq!(list.header("x-total-count"), "2");
    assert_eq!(list.header("link"), "</v1/books?limit=1&offset=1>; rel=\"next\"");
    assert_eq!(list.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_withdrawn_book_is_gone_for_both_and_keeps_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let mut mesh = up(dir.path());
    let api = Api::new(mesh.http());
    add(&api, "Emma", json!("7.50")).await;
    add(&api, "Dune", json!("9")).await;

    let gone = api.send(Method::DELETE, "/v1/books/1", None).await;
    assert_eq!((gone.status, &gone.body["active"]), (StatusCode::OK, &json!(false)));
    check_withdrawn(&api).await;

    // What is restored from disk says the same.
    assert!(mesh.terminate().success());
    mesh = up(dir.path());
    let api = Api::new(mesh.http());
    check_withdrawn(&api).await;

    // Who imports it again wants it back: it is another book then.
    let books = json!([{"info": {"name": "Emma", "author": "Somebody"}}]);
    let batch = json!({"on_conflict": "skip", "books": books});
    let results = api.post("/books/batch", batch).await;
    assert_eq!(results.body["data"][0]["status"], "created", "{}", results.body);
}

async fn check_withdrawn(api: &Api) {
    for (method, path, body) in [
        (Method::GET, "/v1/books/1", None),
        (Method::GET, "/books/1", None),
        (Method::DELETE, "/v1/books/1", None),
        (Method::PUT, "/v1/books/1", Some(json!({"title": "x"}))),
        (Method::POST, "/checkout", Some(json!({"id": 1, "info": {"status": "checked-out"}}))),
        (Method::POST, "/v1/orders", Some(json!({"book_id": 1, "quantity": 1}))),
    ] {
        let answer = api.send(method.clone(), path, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.body);
        assert_eq!(answer.body["error"]["code"], "ERR_BOOK_NOT_FOUND", "{method} {path}");
    }
    for path in ["/v1/books", "/books", "/books?q=emma"] {
        let list = api.get(path).await;
        let left = if path.contains("emma") { "0" } else { "1" };
        assert_eq!(list.header("x-total-count"), left, "{path}");
    }
    let all = api.get("/v1/books?include_inactive=true").await.body;
    let active: Vec<_> = all.as_array().unwrap().iter().map(|book| &book["active"]).collect();
    assert_eq!(active, [false, true]);
    let history = api.get("/books/1/history").await.body["data"].clone();
    let actions: Vec<_> = history.as_array().unwrap().iter().map(|h| &h["action"]).collect();
    assert_eq!(actions, ["register", "withdraw"]);
}

#[tokio::test]
async fn an_order_keeps_what_its_book_was() {
    let dir = tempfile::tempdir().unwrap();
    let mesh = up(dir.path());
    let api = Api::new(mesh.http());
    add(&api, "Emma", json!("12.99")).await;
    let info = json!({"name": "Not for sale", "author": "Nobody"});
    api.post("/books", json!({"info": info})).await;

    let key = |quantity: u32| (json!({"book_id": 1, "quantity": quantity}), "order-1");
    let (body, text) = key(2);
    let order = api.keyed(Method::POST, "/v1/orders", text, Some(body)).await.unwrap();
    assert_eq!(order.status, StatusCode::CREATED, "{}", order.body);
    assert_eq!(order.header("location"), "/v1/orders/1");
    let mut expected = json!({
        "id": 1, "book_id": 1, "book_title": "Emma", "book_author": "Somebody", "quantity": 2,
        "unit_price": 12.99, "total_price": 25.98,
    });
    expected["created_at"] = order.body["created_at"].clone();
    assert_eq!(order.body, expected);

    api.send(Method::PUT, "/v1/books/1", Some(json!({"title": "Other", "price": 1}))).await;
    api.send(Method::DELETE, "/books/1", None).await;
    assert_eq!(api.get("/v1/orders/1").await.body, expected);
    // The same key gives the same order, though the book is gone; with another body it is refused.
    let (body, text) = key(2);
    let again = api.keyed(Method::POST, "/v1/orders", text, Some(body)).await.unwrap();
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &expected));
    let (body, text) = key(3);
    let other = api.keyed(Method::POST, "/v1/orders", text, Some(body)).await.unwrap();
    assert_eq!(other.body["error"]["code"], "ERR_IDEMPOTENCY_CONFLICT");

    let refused = [
        (json!({"book_id": 1, "quantity": 1}), 404, "ERR_BOOK_NOT_FOUND"),
        (json!({"book_id": 77, "quantity": 1}), 404, "ERR_BOOK_NOT_FOUND"),
        (json!({"book_id": (1_u64 << 45) + 1, "quantity": 1}), 404, "ERR_BOOK_NOT_FOUND"),
        (json!({"book_id": 2, "quantity": 1}), 409, "ERR_BOOK_NOT_FOR_SALE"),
        (json!({"book_id": 2, "quantity": 0}), 400, "ERR_VALIDATION"),
    ];
    for (body, status, code) in refused {
        let answer = api.post("/v1/orders", body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.body);
        assert_eq!(answer.body["error"]["code"], code, "{body}");
    }
    let missing = api.get("/v1/orders/2").await;
    assert_eq!(missing.body["error"]["code"], "ERR_ORDER_NOT_FOUND");
    let list = api.get("/v1/orders").await;
    assert_eq!((list.header("x-total-count"), &list.body), ("1", &json!([expected])));
}
