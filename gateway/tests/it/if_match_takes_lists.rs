//! `If-Match` takes any of the tags that it names, on however many lines, of either form.

use serde_json::json;

use crate::support::{Reply, Request, World};

async fn put(world: &World, lines: &[&str], year: u32) -> Reply {
    let mut request = Request::new("PUT", "/books/1");
    for line in lines {
        request = request.header("if-match", line);
    }
    request.json(json!({"info": {"year": year}})).send(world.at).await
}

#[tokio::test]
async fn one_of_them_has_to_be_the_version_that_is_there() {
    let world = World::start(1).await;
    world.book("r0", "Emma").await;
    assert_eq!(put(&world, &["\"9\", \"1\""], 1).await.status, 200);
    let stale = put(&world, &["\"9\", \"1\""], 2).await;
    assert_eq!(stale.error(412), "ERR_VERSION_MISMATCH");
    assert_eq!(put(&world, &["\"1\"", "\"2-gzip\""], 3).await.status, 200);
    assert_eq!(put(&world, &["\"3\", \"3-gzip\""], 4).await.status, 200);
    for none in [&["\"x\", W/\"4\""][..], &[""], &["\"8\", \"9\""]] {
        assert_eq!(put(&world, none, 5).await.error(412), "ERR_VERSION_MISMATCH", "{none:?}");
    }
    assert_eq!(put(&world, &["\"8\", *"], 6).await.status, 200);
    assert_eq!(world.get("/books/1").await.data()["info"]["year"], 6);
}
