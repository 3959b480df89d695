//! A client that does not read its answer is cut off; one whose answer has nothing new is not.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use bookmesh_gateway::ServeConfig;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::support::edge::serving;
use crate::support::world::PATIENCE;

const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

fn config() -> ServeConfig {
    ServeConfig { write_timeout: WRITE_TIMEOUT, ..ServeConfig::default() }
}

/// Told when it is dropped.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Answers with bytes without end; tells when that was given up.
fn endless(given_up: Arc<Notify>) -> Router {
    let answer = move || {
        let told = Told(given_up.clone());
        let chunks = stream::unfold(told, |told| async {
            Some((Ok::<_, Infallible>(Bytes::from(vec![b'x'; 64 * 1024])), told))
        });
        async { Body::from_stream(chunks) }
    };
    Router::new().route("/endless", get(answer))
}

#[tokio::test]
async fn a_client_that_stopped_reading_is_let_go() {
    let given_up = Arc::new(Notify::new());
    let at = serving(endless(given_up.clone()), config()).await;
    let mut stream = asking(at, "/endless").await;
    let mut some = [0; 1_000];
    stream.read_exact(&mut some).await.unwrap();
    assert!(some.starts_with(b"HTTP/1.1 200"));
    // It stays open, and nobody reads it.
    tokio::time::timeout(PATIENCE, given_up.notified()).await.expect("the answer is given up");
    let mut rest = Vec::new();
    // It ends, well or by a reset, with less than an end of the body.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[tokio::test]
async fn an_http2_client_that_gives_no_window_is_let_go() {
    let given_up = Arc::new(Notify::new());
    let at = serving(endless(given_up.clone()), config()).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    // The preface, and SETTINGS with a window of 100 bytes for each request (RFC 9113, 6.5).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\x64").await.unwrap();
    // HEADERS of stream 1, the last of its request: GET, http, /endless, t.
    let head = b"\x82\x86\x04\x08/endless\x01\x01t";
    let frame = [&[0, 0, head.len() as u8, 1, 0x5, 0, 0, 0, 1][..], head].concat();
    stream.write_all(&frame).await.unwrap();
    // It reads whatever comes, and never gives that request any room.
    let mut all = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all));
    let _ = reading.await.expect("the connection is closed");
    assert!(all.windows(100).any(|window| window == [b'x'; 100]), "the answer had begun");
    tokio::time::timeout(PATIENCE, given_up.notified()).await.expect("the answer is given up");
}

#[tokio::test]
async fn an_answer_that_pauses_goes_on() {
    let paused = get(|| async {
        let lines = stream::unfold(0, |line| async move {
            if line == 1 {
                tokio::time::sleep(WRITE_TIMEOUT * 5).await;
            }
            (line < 2).then(|| (Ok::<_, Infallible>(format!("line {line}\n")), line + 1))
        });
        Body::from_stream(lines)
    });
    let at = serving(Router::new().route("/lines", paused), config()).await;
    let mut stream = asking(at, "/lines").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("line 0") && answer.contains("line 1"), "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
}

async fn asking(at: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // So that little fits between the two.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(at).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}
