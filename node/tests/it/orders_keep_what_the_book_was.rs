//! An order says for ever what its book was when it was ordered, whatever becomes of the book, and
//! of the order rack's leader; sent again under its key it is answered as it was.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::shop::{add_book, order, order_at_last, order_keyed, read_order};
use crate::support::{Api, Process, eventually, mesh, rack};

const KEY: &str = "my-first-order";

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_new_price_nor_a_deletion_nor_a_failover_changes_an_order() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let _books = mesh::worker("books", dir.path(), &ork.p2p());
    let worker = |n: usize| mesh::order_worker(&format!("orders-{n}"), dir.path(), &ork.p2p());
    let mut workers: Vec<Process> = (0..3).map(worker).collect();
    let gateway = mesh::gateway("gateway", dir.path(), &ork.p2p());
    let api = Api::new(gateway.http());
    rack::agreement(&api, mesh::ORDER_RACK, 3).await;
    rack::leader(&api, mesh::RACK).await;

    let book = add_book(&api, "Emma", "12.90").await;
    let first = order_keyed(&api, KEY, book, 3).await.unwrap();
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let first = first.body;
    let told = |name: &str| first[name].to_string();
    assert_eq!(
        (told("book_title"), told("book_author")),
        ("\"Emma\"".into(), "\"Somebody\"".into())
    );
    assert_eq!((told("quantity"), told("unit_price")), ("3".into(), "12.9".into()));
    assert_eq!(told("total_price"), "38.7");
    let id = first["id"].as_u64().unwrap();

    let path = format!("/v1/books/{book}");
    let change = json!({"price": "20.00", "title": "Emma, abridged"});
    assert_eq!(api.send(Method::PUT, &path, Some(change)).await.status, StatusCode::OK);
    assert_eq!(read_order(&api, id).await, first);
    let dearer = order(&api, book, 1).await.body;
    assert_eq!(dearer["unit_price"].to_string(), "20.0", "the next order is at the new price");
    assert_eq!(api.send(Method::DELETE, &path, None).await.status, StatusCode::OK);
    assert_eq!(read_order(&api, id).await, first);
    let gone = order(&api, book, 1).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND, "{}", gone.body);

    let again = order_keyed(&api, KEY, book, 3).await.unwrap();
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first), "the book is gone");
    let other = order_keyed(&api, KEY, book, 4).await.unwrap();
    assert!(other.status.is_client_error(), "a key stands for one order: {}", other.body);

    let leader = rack::leader(&api, mesh::ORDER_RACK).await;
    let at = workers.iter().position(|worker| worker.ready["peer"] == leader).unwrap();
    workers.remove(at).kill();
    assert_eq!(read_order(&api, id).await, first);
    let again = eventually("the same order", || async {
        order_keyed(&api, KEY, book, 3).await.filter(|answer| !answer.status.is_server_error())
    })
    .await;
    assert_eq!((again.status, &again.body), (StatusCode::CREATED, &first));
    let next = add_book(&api, "Persuasion", "7").await;
    assert_eq!(order_at_last(&api, next).await["book_title"], "Persuasion");
    let all = api.get("/v1/orders").await;
    let titles: Vec<_> =
        all.body.as_array().unwrap().iter().map(|order| order["book_title"].clone()).collect();
    assert_eq!(titles[..3], ["Emma", "Emma, abridged", "Persuasion"], "{}", all.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_under_one_key_at_once_are_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let ork = mesh::ork(dir.path());
    let _books = mesh::worker("books", dir.path(), &ork.p2p());
    let _orders = mesh::order_worker("orders", dir.path(), &ork.p2p());
    let gateways =
        ["gateway-0", "gateway-1"].map(|name| mesh::gateway(name, dir.path(), &ork.p2p()));
    let apis = gateways.each_ref().map(|gateway| Api::new(gateway.http()));
    for api in &apis {
        rack::leader(api, mesh::RACK).await;
        rack::leader(api, mesh::ORDER_RACK).await;
    }
    let book = add_book(&apis[0], "Emma", "12.90").await;
    let sent = (0..16).map(|n| order_keyed(&apis[n % 2], KEY, book, 1));
    let answers = futures::future::join_all(sent).await;
    let ids: Vec<_> = answers.iter().map(|answer| &answer.as_ref().unwrap().body["id"]).collect();
    assert!(ids[0].is_u64() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let all = apis[0].get("/v1/orders").await;
    assert_eq!(all.header("x-total-count"), "1", "{}", all.body);
}
