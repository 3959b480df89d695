//! Books with a price, and orders of them, as a client of `/v1` sees both.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::api::Answer;
use super::{Api, eventually};

/// Adds a book that has to be accepted, and returns its id.
pub async fn add_book(api: &Api, title: &str, price: &str) -> u64 {
    let body = json!({"title": title, "author": "Somebody", "price": price});
    let answer = api.post("/v1/books", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    answer.body["id"].as_u64().unwrap()
}

/// Orders a book.
pub async fn order(api: &Api, book: u64, quantity: u32) -> Answer {
    api.post("/v1/orders", json!({"book_id": book, "quantity": quantity})).await
}

/// Orders a book under a client's key.
pub async fn order_keyed(api: &Api, key: &str, book: u64, quantity: u32) -> Option<Answer> {
    let body = json!({"book_id": book, "quantity": quantity});
    api.keyed(Method::POST, "/v1/orders", key, Some(body)).await.ok()
}

/// Orders a book again and again until the order is taken.
pub async fn order_at_last(api: &Api, book: u64) -> Value {
    eventually("an order is taken", || async {
        let body = json!({"book_id": book, "quantity": 1});
        let answer = api.try_send(Method::POST, "/v1/orders", Some(body)).await.ok()?;
        (answer.status == StatusCode::CREATED).then_some(answer.body)
    })
    .await
}

/// An order as it is read, once it can be.
pub async fn read_order(api: &Api, id: u64) -> Value {
    eventually("an order is read", || async {
        let path = format!("/v1/orders/{id}");
        let answer = api.try_send(Method::GET, &path, None).await.ok()?;
        (answer.status == StatusCode::OK).then_some(answer.body)
    })
    .await
}
