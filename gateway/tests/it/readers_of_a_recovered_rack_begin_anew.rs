//! A rack that was recovered from a member that had less is another one to its readers: their
//! places mean something else now, so their streams end instead of waiting for ever.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::World;
use crate::support::world::PATIENCE;

#[tokio::test]
async fn their_streams_end() {
    let world = World::start(1).await;
    let mut stream = TcpStream::connect(world.at).await.unwrap();
    let head = "GET /events HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer));
    reading.await.expect("the stream ends").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("id: b0:"), "{answer}");
}
