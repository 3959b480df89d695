//! What a client sends arrives at the right rack as it was meant, and comes back as documented.

use bookmesh_rpc::api::{Consistency, ListThings, Status, StatusRule};
use serde_json::{Value, json};

use crate::support::world::book;
use crate::support::{Request, World};

#[tokio::test]
async fn a_book_is_created_read_changed_and_removed() {
    let world = World::start(2).await;
    let body = r#"{"type": "book", "tags": ["fiction"], "rack_id": "r1", "info": {
        "name": " The   Hobbit ", "author": "J. R. R. Tolkien", "isbn": "x-1", "price": 12.50}}"#;
    let json = Request::new("POST", "/books").header("content-type", "application/json");
    let created = json.body(body).send(world.at).await;
    let id = (1_u64 << 40) + 1;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("location"), Some(format!("/books/{id}").as_str()));
    let thing = created.data();
    let expected = json!({
        "id": id.to_string(), "code": "BOOK-0001", "type": "book", "tags": ["fiction"],
        "info": {"name": "The Hobbit", "author": "J. R. R. Tolkien", "status": "available",
            "isbn": "x-1", "price": 12.50,
            "createdAt": "1970-01-01T00:00:01.000Z", "updatedAt": "1970-01-01T00:00:01.000Z"},
        "rack_id": "r1", "version": 1});
    assert_eq!(thing, expected);
    // Numbers stay as they were written.
    assert!(String::from_utf8_lossy(&created.body).contains("12.50"));

    let path = format!("/books/{id}");
    let read = world.get(&path).await;
    assert_eq!((read.status, read.json()["message"].as_str()), (200, Some("Success")));
    assert_eq!(read.data(), expected);

    let changed = world.put(&path, json!({"tags": [], "info": {"isbn": null, "year": 1937}})).await;
    let changed = changed.data();
    assert_eq!((&changed["version"], &changed["tags"]), (&json!(2), &json!([])));
    assert_eq!((&changed["info"]["isbn"], &changed["info"]["year"]), (&Value::Null, &json!(1937)));

    let removed = Request::new("DELETE", &path).send(world.at).await;
    assert_eq!((removed.status, removed.data()["version"].clone()), (200, json!(2)));
    assert_eq!(world.get(&path).await.error(404), "ERR_BOOK_NOT_FOUND");
}

#[tokio::test]
async fn of_two_callers_who_check_a_book_out_one_wins() {
    let world = World::start(1).await;
    let id = world.book("r0", "N").await;
    let checkout = json!({"id": id, "info": {"status": "checked-out", "userId": "u1"}});
    let first = world.post("/checkout", checkout.clone()).await.data();
    assert_eq!(
        (&first["info"]["status"], &first["info"]["userId"]),
        (&json!("checked-out"), &json!("u1"))
    );
    assert_eq!(world.post("/checkout", checkout).await.error(409), "ERR_BOOK_CHECKED_OUT");
    let back = json!({"id": 1, "info": {"status": "available"}});
    let returned = world.post("/checkout", back.clone()).await.data();
    assert_eq!(returned["info"].get("userId"), None);
    assert_eq!(world.post("/checkout", back).await.error(409), "ERR_BOOK_NOT_CHECKED_OUT");
    let (_, asked) = world.workers[0].last_asked();
    let bookmesh_rpc::api::Request::UpdateThing(asked) = asked else { panic!("{asked:?}") };
    assert_eq!(asked.status_rule, StatusRule::Exclusive);
}

#[tokio::test]
async fn a_book_without_a_rack_goes_where_most_room_is() {
    let world = World::start(2).await;
    let mut routes = world.ork.routes.borrow().racks.clone();
    routes[0].things = 10;
    world.ork.set(routes);
    let anywhere = json!({"info": {"name": "N", "author": "A"}});
    world
        .until(|| async { world.post("/books", anywhere.clone()).await.data()["rack_id"] == "r1" })
        .await;
}

#[tokio::test]
async fn versions_guard_reads_and_writes() {
    let world = World::start(1).await;
    let id = world.book("r0", "N").await;
    let path = format!("/books/{id}");
    let tag = world.get(&path).await.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"1\"");
    let again = Request::new("GET", &path).header("if-none-match", &tag).send(world.at).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some("\"1\"")));

    let change = |tag: &str| {
        Request::new("PUT", &path).header("if-match", tag).json(json!({"info": {"name": "M"}}))
    };
    assert_eq!(change(&tag).send(world.at).await.status, 200);
    for stale in [tag.as_str(), "\"abc\"", "W/\"2\"", "\u{e4}"] {
        let refused = change(stale).send(world.at).await;
        assert_eq!(refused.error(412), "ERR_VERSION_MISMATCH", "{stale}");
    }
    let removal = Request::new("DELETE", &path).header("if-match", "\"1\"").send(world.at).await;
    assert_eq!(removal.error(412), "ERR_VERSION_MISMATCH");
    let removal = Request::new("DELETE", &path).header("if-match", "*").send(world.at).await;
    assert_eq!(removal.status, 200);
}

#[tokio::test]
async fn filters_and_consistency_reach_the_rack() {
    let world = World::start(1).await;
    world.book("r0", "N").await;
    let reply = world
        .get(concat!(
            "/books?rack_id=r0&tag=a&tag=b&status=checked-out&author=Ann%20B",
            "&q=war%20Peace&consistency=eventual"
        ))
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-applied-index"), Some("r0=1"));
    let (_, asked) = world.workers[0].last_asked();
    let bookmesh_rpc::api::Request::ListThings(ListThings { filter, consistency, .. }) = asked
    else {
        panic!("{asked:?}")
    };
    assert_eq!(filter.tags, ["a", "b"]);
    assert_eq!(
        (filter.status, filter.author.as_deref()),
        (Some(Status::CheckedOut), Some("Ann B"))
    );
    assert_eq!(filter.words, ["war", "peace"]);
    assert_eq!(consistency, Consistency::Eventual { max_lag_ms: None });
    let one = world.get("/books/1?consistency=eventual").await;
    assert_eq!((one.status, one.header("x-applied-index")), (200, Some("1")));
    assert_eq!(world.get("/books/1").await.header("x-applied-index"), None);
}

#[tokio::test]
async fn a_request_id_goes_all_the_way() {
    let world = World::start(1).await;
    let request = Request::new("POST", "/books").header("x-request-id", "mine-7");
    let reply = request.json(book("r0", "N")).send(world.at).await;
    assert_eq!(reply.header("x-request-id"), Some("mine-7"));
    assert_eq!(world.workers[0].last_asked().0.as_str(), "mine-7");
    let reply =
        Request::new("GET", "/books").header("x-request-id", "not mine").send(world.at).await;
    assert_eq!(reply.header("x-request-id").map(str::len), Some(16));
}
