//! What is no HTTP request is refused in the same shape as everything else.

use std::net::SocketAddr;
use std::time::Duration;

use bookmesh_gateway::{GatewayConfig, ServeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Reply, World};

/// Sends bytes, and gives all that comes back until the server closes.
async fn exchange(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    // A server that refuses may close before it has read all of it.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let closed = reading.await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
    assert!(closed.is_ok(), "the server leaves {shown:?} open");
    answer
}

#[tokio::test]
async fn every_kind_of_broken_head() {
    let world = World::start(0).await;
    let many = "x: y\r\n".repeat(200);
    let large = format!("connection: close\r\nx: {}\r\n", "y".repeat(100_000));
    for (head, status, code) in [
        ("NONSENSE\r\n\r\n".to_owned(), 400, "ERR_MALFORMED_REQUEST"),
        ("GET /live HTTP/9.9\r\n\r\n".to_owned(), 400, "ERR_MALFORMED_REQUEST"),
        ("GET /live HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400, "ERR_MALFORMED_REQUEST"),
        ("GET /\u{1}live HTTP/1.1\r\n\r\n".to_owned(), 400, "ERR_MALFORMED_REQUEST"),
        (
            "GET /live HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(),
            400,
            "ERR_MALFORMED_REQUEST",
        ),
        (
            "GET /live HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
            400,
            "ERR_MALFORMED_REQUEST",
        ),
        (
            "POST /books HTTP/1.1\r\nhost: t\r\ncontent-length: -1\r\n\r\n".to_owned(),
            400,
            "ERR_MALFORMED_REQUEST",
        ),
        (
            "POST /books HTTP/1.1\r\nhost: t\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc"
                .to_owned(),
            400,
            "ERR_MALFORMED_REQUEST",
        ),
        (format!("GET /live HTTP/1.1\r\nhost: t\r\n{many}\r\n"), 431, "ERR_HEAD_TOO_LARGE"),
        (format!("GET /live HTTP/1.1\r\nhost: t\r\n{large}\r\n"), 431, "ERR_HEAD_TOO_LARGE"),
        (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(65_535)), 414, "ERR_URI_TOO_LONG"),
        (
            format!("GET /{} HTTP/1.1\r\nconnection: close\r\n\r\n", "a".repeat(8_192)),
            414,
            "ERR_URI_TOO_LONG",
        ),
    ] {
        let shown = &head[..head.len().min(60)];
        let answer = exchange(world.at, head.as_bytes()).await;
        assert!(!answer.is_empty(), "{shown}");
        let reply = Reply::parse(&answer);
        assert_eq!(reply.error(status), code, "{shown}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{shown}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{shown}");
    }
}

#[tokio::test]
async fn nonsense_behind_a_good_request_spoils_nothing() {
    let world = World::start(0).await;
    let both = b"GET /live HTTP/1.1\r\nhost: t\r\n\r\nNONSENSE\r\n\r\n";
    let answer = String::from_utf8(exchange(world.at, both).await).unwrap();
    let at = answer.rfind("HTTP/1.1 400").unwrap();
    let (first, second) = answer.split_at(at);
    assert!(
        first.starts_with("HTTP/1.1 200") && first.ends_with("{\"status\":\"live\"}"),
        "{first}"
    );
    assert_eq!(Reply::parse(second.as_bytes()).error(400), "ERR_MALFORMED_REQUEST");
}

#[tokio::test]
async fn a_body_that_is_no_body_is_told_by_the_handler() {
    let serving = ServeConfig { head_timeout: Duration::from_secs(5), ..ServeConfig::default() };
    let config = GatewayConfig { replicas: 1, ..GatewayConfig::default() };
    let world = World::start_behind(1, config, serving).await;
    let head = "POST /books HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let reply = Reply::parse(&exchange(world.at, head.as_bytes()).await);
    assert_eq!(reply.error(400), "ERR_VALIDATION");
}
