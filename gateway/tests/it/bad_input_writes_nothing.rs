//! Bad input of every kind gets its 4xx in the shape of all errors, and nothing is written.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use bookmesh_rpc::api::RackId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Reply, Request, World};

/// A mesh with one book, whose log ends where the test begins.
struct Shop {
    world: World,
    entries: u64,
}

impl Shop {
    async fn open() -> Self {
        let config = GatewayConfig {
            request_timeout: Duration::from_millis(1_000),
            replicas: 1,
            ..GatewayConfig::default()
        };
        let world = World::start_with(1, config).await;
        world.book("r0", "Emma").await;
        let entries = entries(&world).await;
        Self { world, entries }
    }

    async fn send(&self, method: &'static str, path: &str, body: &[u8]) -> Reply {
        let request = Request::new(method, path).header("content-type", "application/json");
        request.body(body).send(self.world.at).await
    }

    /// Sends a body to a route; gives the answer, which has to be a refusal.
    async fn refused(&self, route: &(&'static str, &str), body: &[u8], status: u16) -> Reply {
        let (method, path) = *route;
        let reply = self.send(method, path, body).await;
        let shown: String = String::from_utf8_lossy(body).chars().take(80).collect();
        assert_eq!(reply.status, status, "{method} {path} {shown}");
        reply.error(status);
        reply
    }

    async fn nothing_was_written(&self) {
        assert_eq!(entries(&self.world).await, self.entries);
        let book = self.world.get("/books/1").await.data();
        assert_eq!((&book["version"], &book["info"]["name"]), (&1.into(), &"Emma".into()));
    }
}

async fn entries(world: &World) -> u64 {
    let rack: RackId = "r0".parse().unwrap();
    let page = world.get(&format!("/racks/{rack}/log?limit=1000")).await.data();
    page["committed_index"].as_u64().unwrap()
}

/// Everything that takes a body.
const ROUTES: [(&str, &str); 9] = [
    ("POST", "/books"),
    ("PUT", "/books/1"),
    ("POST", "/books/batch"),
    ("POST", "/checkout"),
    ("POST", "/v1/books"),
    ("PUT", "/v1/books/1"),
    ("POST", "/v1/orders"),
    ("PUT", "/settings"),
    ("POST", "/racks/r0/recover"),
];

#[tokio::test]
async fn what_is_no_json_object_is_refused_on_every_route() {
    let shop = Shop::open().await;
    let nested = "[".repeat(100_000);
    let nested_objects = "{\"a\":".repeat(100_000);
    let mut bodies: Vec<&[u8]> = vec![
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"7",
        b"\"text\"",
        b"{\"info\":{\"name\":\"\xff\xfe\"}}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":1}{\"b\":2}",
        b"{'a':1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":01}",
        b"{\"a\":\"\x00\"}",
    ];
    bodies.extend([nested.as_bytes(), nested_objects.as_bytes()]);
    for route in &ROUTES {
        for body in &bodies {
            shop.refused(route, body, 400).await;
        }
    }
    shop.nothing_was_written().await;
}

#[tokio::test]
async fn each_wrong_field_is_named_and_all_of_them_at_once() {
    let shop = Shop::open().await;
    let long = "x".repeat(3_000);
    let over = format!(r#"{{"info":{{"name":"{long}","author":"{long}"}}}}"#);
    let many: Vec<_> = (0..33).map(|n| format!("\"t{n}\"")).collect();
    let many = format!(r#"{{"info":{{"name":"a","author":"b"}},"tags":[{}]}}"#, many.join(","));
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("POST", "/books", "{}", &["info.name", "info.author"]),
        ("POST", "/books", r#"{"info":7}"#, &["info", "info.name", "info.author"]),
        ("POST", "/books", r#"{"info":{"name":7,"author":[]}}"#, &["info.name", "info.author"]),
        ("POST", "/books", &over, &["info.name", "info.author"]),
        ("POST", "/books", &many, &["tags"]),
        (
            "POST",
            "/books",
            r#"{"type":"film","tags":["a",7],"rack_id":"NO","colour":1,
                "info":{"name":"\u0000","author":"","status":"lost","userId":{},"price":-1}}"#,
            &[
                "type",
                "tags",
                "rack_id",
                "colour",
                "info.name",
                "info.author",
                "info.status",
                "info.userId",
                "info.price",
            ],
        ),
        (
            "PUT",
            "/books/1",
            r#"{"id":"2","rack_id":"other","tags":"x"}"#,
            &["id", "rack_id", "tags"],
        ),
        (
            "PUT",
            "/books/1",
            r#"{"info":{"name":null,"price":"1e9"}}"#,
            &["info.name", "info.price"],
        ),
        ("PUT", "/books/1", r#"{"info":{"year":1e999}}"#, &["info.year"]),
        ("PUT", "/books/1", r#"{"info":{"x":"\ud800"}}"#, &["info.x"]),
        ("POST", "/checkout", "{}", &["id", "info.status"]),
        ("POST", "/checkout", r#"{"id":0,"info":{"status":7}}"#, &["id", "info.status"]),
        (
            "POST",
            "/v1/books",
            r#"{"title":"","author":7,"price":"12.999"}"#,
            &["title", "author", "price"],
        ),
        ("POST", "/v1/books", r#"{"title":"a","author":"b","price":1e400}"#, &["price"]),
        ("POST", "/v1/books", r#"{"title":"a","author":"b","price":100000000}"#, &["price"]),
        ("PUT", "/v1/books/1", r#"{"price":[],"title":[]}"#, &["price", "title"]),
        (
            "POST",
            "/v1/orders",
            r#"{"book_id":9007199254740993,"quantity":0}"#,
            &["book_id", "quantity"],
        ),
        ("POST", "/v1/orders", r#"{"book_id":1.5,"quantity":-1}"#, &["book_id", "quantity"]),
        ("POST", "/v1/orders", r#"{"book_id":null,"quantity":1e-3}"#, &["book_id", "quantity"]),
    ];
    for (method, path, body, fields) in table {
        let reply = shop.send(method, path, body.as_bytes()).await;
        assert_eq!(reply.error(400), "ERR_VALIDATION", "{body}");
        let mut named = reply.fields();
        named.sort_unstable();
        let mut expected = fields.to_vec();
        expected.sort_unstable();
        assert_eq!(named, expected, "{method} {path} {body}");
    }
    shop.nothing_was_written().await;
}

#[tokio::test]
async fn wrong_ids_pages_and_filters_are_refused() {
    let shop = Shop::open().await;
    for id in
        ["0", "-1", "x", "1.0", "9007199254740992", "99999999999999999999", "%00", "%ff", "1%20"]
    {
        for base in ["/books", "/v1/books", "/v1/orders"] {
            let reply = shop.world.get(&format!("{base}/{id}")).await;
            assert!([400, 404].contains(&reply.status), "{base}/{id}: {}", reply.status);
            reply.error(reply.status);
        }
    }
    for query in [
        "offset=-1",
        "offset=1e3",
        "offset=9007199254740993",
        "limit=0",
        "limit=1001",
        "limit=x",
        "after=0",
        "after=x",
        "after=1&offset=1",
        "limit=1&limit=2",
        "consistency=maybe",
        "max_lag_ms=5",
        "partial=yes",
        "include_inactive=1",
        "%ff=1",
        "unknown=1",
    ] {
        for base in ["/books", "/v1/books"] {
            let reply = shop.world.get(&format!("{base}?{query}")).await;
            assert_eq!(reply.error(400), "ERR_VALIDATION", "{base}?{query}");
        }
    }
    shop.nothing_was_written().await;
}

#[tokio::test]
async fn bodies_that_are_too_large_of_another_type_or_without_end_are_refused() {
    let shop = Shop::open().await;
    let large = format!(r#"{{"info":{{"name":"{}"}}}}"#, "x".repeat(2 * 1024 * 1024));
    for route in &ROUTES {
        shop.refused(route, large.as_bytes(), 413).await;
        let (method, path) = *route;
        for kind in ["text/plain", "application/xml", "application/json; charset=latin1", ""] {
            let request = Request::new(method, path).header("content-type", kind).body("{}");
            let reply = request.send(shop.world.at).await;
            assert_eq!(reply.error(415), "ERR_UNSUPPORTED_MEDIA_TYPE", "{method} {path} {kind}");
        }
    }
    for (method, path) in [("POST", "/books"), ("POST", "/v1/orders")] {
        let answer = endless(&shop.world, method, path).await;
        assert_eq!(answer.error(408), "ERR_REQUEST_TIMEOUT", "{method} {path}");
    }
    shop.nothing_was_written().await;
}

/// Sends a body that begins and does not end.
async fn endless(world: &World, method: &str, path: &str) -> Reply {
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let _ = reading.await.expect("the server gives up first");
    Reply::parse(&answer)
}
