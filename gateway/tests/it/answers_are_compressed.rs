//! Large answers come compressed to those who ask, and their tags go on working.

use std::io::Read;

use bookmesh_gateway::GatewayConfig;
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::world::book;
use crate::support::{Reply, Request, World};

async fn world() -> (World, String) {
    let config = GatewayConfig { replicas: 1, ..GatewayConfig::default() };
    let world = World::start_with(1, config).await;
    let mut large = book("r0", "Large");
    large["info"]["note"] = "words ".repeat(1_000).into();
    let reply = world.post("/books", large).await;
    let path = format!("/books/{}", reply.data()["id"].as_str().unwrap());
    (world, path)
}

/// The body's JSON, the chunks and the compression taken off.
fn plain(reply: &Reply) -> Value {
    let mut rest = &reply.body[..];
    let mut gzip = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        gzip.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    let mut text = String::new();
    GzDecoder::new(&gzip[..]).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() {
    let (world, path) = world().await;
    let asking = |accept: &str| Request::new("GET", path.clone()).header("accept-encoding", accept);
    let as_it_is = world.get(&path).await;
    assert_eq!(as_it_is.header("content-encoding"), None);
    assert_eq!(as_it_is.header("vary"), Some("accept-encoding"));

    let small = asking("gzip, br").send(world.at).await;
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert_eq!(small.header("vary"), Some("accept-encoding"));
    assert!(small.body.len() < as_it_is.body.len() / 10);
    assert_eq!(plain(&small), as_it_is.json());

    let refused = asking("gzip;q=0").send(world.at).await;
    assert_eq!(refused.json(), as_it_is.json());
    let tiny = Request::new("GET", "/live").header("accept-encoding", "gzip").send(world.at).await;
    assert_eq!((tiny.header("content-encoding"), tiny.header("vary")), (None, None));
}

#[tokio::test]
async fn a_tag_of_either_form_is_known_again() {
    let (world, path) = world().await;
    let gzip = |method| Request::new(method, path.clone()).header("accept-encoding", "gzip");
    let tag = gzip("GET").send(world.at).await.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"1-gzip\"");
    for known in [tag.as_str(), "\"1\""] {
        let reply = gzip("GET").header("if-none-match", known).send(world.at).await;
        assert_eq!((reply.status, reply.header("etag")), (304, Some(known)));
    }
    let named = |name: &str| json!({"info": {"name": name}});
    let first = gzip("PUT").header("if-match", &tag).json(named("Other")).send(world.at).await;
    assert_eq!(first.status, 200);
    let late = gzip("PUT").header("if-match", &tag).json(named("Late")).send(world.at).await;
    assert_eq!(late.error(412), "ERR_VERSION_MISMATCH");
}
