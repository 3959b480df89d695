//! No body, however large or slow, holds a request longer or takes more memory than allowed.

use std::time::Duration;

use bookmesh_gateway::GatewayConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Request, World};

async fn small() -> World {
    let config = GatewayConfig {
        max_payload_bytes: 1_000,
        request_timeout: Duration::from_millis(300),
        replicas: 1,
        ..GatewayConfig::default()
    };
    World::start_with(1, config).await
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let world = small().await;
    let json = || Request::new("POST", "/books").header("content-type", "application/json");
    let large = "x".repeat(1_001);
    assert_eq!(json().body(large.clone()).send(world.at).await.error(413), "ERR_PAYLOAD_TOO_LARGE");
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let answer = raw(&world, "transfer-encoding: chunked", &chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // At the limit it is read, and is no JSON.
    assert_eq!(json().body("x".repeat(1_000)).send(world.at).await.error(400), "ERR_VALIDATION");
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    let world = small().await;
    let answer = raw(&world, "content-length: 500", "{\"info\":").await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("ERR_REQUEST_TIMEOUT"),
        "{answer}"
    );
}

/// Sends a head and some of a body; gives what comes back until the server closes.
async fn raw(world: &World, header: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let head = format!(
        "POST /books HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\
         content-type: application/json\r\n{header}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    let _ = reading.await.expect("the server gives up first");
    String::from_utf8(answer).unwrap()
}
