//! Connections are bounded in number and in time, and the last requests are let finish.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bookmesh_gateway::{Health, HealthSource, ServeConfig, Wellness, ops_router, serve};
use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::NodeRole;
use bookmesh_rpc::mesh::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::support::Request;

/// Ready once it is let.
struct Gate {
    asked: Notify,
    open: Notify,
}

impl HealthSource for Gate {
    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async {
            Health {
                status: Wellness::Degraded,
                reason: None,
                role: NodeRole::Worker,
                peer_id: PeerId::from_bytes([1; 32]),
                services: Default::default(),
                racks: Vec::new(),
                breakers: Vec::new(),
            }
        })
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async {
            self.asked.notify_one();
            self.open.notified().await;
            Ok(())
        })
    }
}

struct Served {
    at: SocketAddr,
    gate: Arc<Gate>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

async fn served(config: ServeConfig) -> Served {
    let gate = Arc::new(Gate { asked: Notify::new(), open: Notify::new() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = ops_router(gate.clone(), Vec::new(), "1.2.3");
    let done = tokio::spawn(serve(listener, router, config, async {
        let _ = stopped.await;
    }));
    Served { at, gate, stop, done }
}

#[tokio::test]
async fn every_role_has_the_same_four_pages() {
    let served = served(ServeConfig::default()).await;
    let get = |path: &str| Request::new("GET", path).send(served.at);
    let health = get("/health").await.json();
    assert_eq!((&health["role"], &health["version"]), (&"worker".into(), &"1.2.3".into()));
    assert_eq!(get("/live").await.status, 200);
    assert_eq!(get("/metrics").await.status, 200);
    assert_eq!(get("/books").await.error(404), "ERR_NOT_FOUND");
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_server_does() {
    let served = served(ServeConfig::default()).await;
    let request = tokio::spawn(Request::new("GET", "/ready").send(served.at));
    served.gate.asked.notified().await;
    served.stop.send(()).unwrap();
    // Refused from now on, while the first one is still being answered.
    while TcpStream::connect(served.at).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!served.done.is_finished());
    served.gate.open.notify_one();
    assert_eq!(request.await.unwrap().status, 200);
    served.done.await.unwrap();
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_at_the_deadline() {
    let drain_timeout = Duration::from_millis(50);
    let served = served(ServeConfig { drain_timeout, ..ServeConfig::default() }).await;
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"GET /ready HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    served.gate.asked.notified().await;
    served.stop.send(()).unwrap();
    served.done.await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn connections_that_asked_nothing_do_not_hold_up_the_end() {
    let minute = Duration::from_secs(60);
    let config =
        ServeConfig { head_timeout: minute, drain_timeout: minute, ..ServeConfig::default() };
    let served = served(config).await;
    let mut silent = TcpStream::connect(served.at).await.unwrap();
    assert_eq!(Request::new("GET", "/live").send(served.at).await.status, 200);
    served.stop.send(()).unwrap();
    let ended = tokio::time::timeout(minute / 2, served.done).await;
    ended.expect("the end comes before the timeouts").unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_head_are_cut_off() {
    let head_timeout = Duration::from_millis(100);
    let served = served(ServeConfig { head_timeout, ..ServeConfig::default() }).await;
    for start in ["", "P", "PRI * HT", "GET /live HTT", "GET /live HTTP/1.1\r\nhost: t\r\n"] {
        let mut stream = TcpStream::connect(served.at).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Returns only when the server closes.
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start}");
    }
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let served = served(ServeConfig { max_connections: 1, ..ServeConfig::default() }).await;
    let mut first = TcpStream::connect(served.at).await.unwrap();
    first.write_all(b"GET /ready HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
    served.gate.asked.notified().await;
    let mut second = tokio::spawn(Request::new("GET", "/live").send(served.at));
    // Time enough for an answer, were there no limit; a slow machine only makes this weaker.
    let answered = tokio::time::timeout(Duration::from_millis(200), &mut second).await;
    assert!(answered.is_err(), "a second connection was served");
    served.gate.open.notify_one();
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert_eq!(second.await.unwrap().status, 200);
}

#[tokio::test]
async fn one_client_does_not_take_all_places() {
    let one = Some(1);
    let served =
        served(ServeConfig { max_connections_per_client: one, ..ServeConfig::default() }).await;
    let mut first = TcpStream::connect(served.at).await.unwrap();
    let live = b"GET /live HTTP/1.1\r\nhost: t\r\n\r\n";
    first.write_all(live).await.unwrap();
    first.read_exact(&mut [0; 12]).await.unwrap();
    let mut second = TcpStream::connect(served.at).await.unwrap();
    let _ = second.write_all(live).await;
    assert_eq!(second.read(&mut [0]).await.unwrap_or(0), 0, "closed without a word");
    drop(first);
    // Once the server has seen that the first one is gone.
    let again = async {
        loop {
            let mut third = TcpStream::connect(served.at).await.unwrap();
            let _ = third.write_all(live).await;
            if third.read(&mut [0]).await.unwrap_or(0) > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.expect("there is room again");
}

#[tokio::test]
async fn an_http2_request_in_flight_ends_before_the_server_does() {
    let served = served(ServeConfig::default()).await;
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    // HEADERS of stream 1, the last of its request: GET, http, /ready, t (RFC 7541, appendix A).
    let head = b"\x82\x86\x04\x06/ready\x01\x01t";
    let frame = [&[0, 0, head.len() as u8, 1, 0x5, 0, 0, 0, 1][..], head].concat();
    stream.write_all(&frame).await.unwrap();
    served.gate.asked.notified().await;
    served.stop.send(()).unwrap();
    while frame_of(&mut stream).await.0 != GOAWAY {}
    assert!(!served.done.is_finished());
    served.gate.open.notify_one();
    let (mut status, mut body) = (None, Vec::new());
    loop {
        let (kind, flags, payload) = frame_of(&mut stream).await;
        match kind {
            HEADERS => status = payload.first().copied(),
            DATA => body.extend(payload),
            _ => {}
        }
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(status, Some(0x88), "the static table's :status 200");
    assert_eq!(body, b"{\"status\":\"ready\"}");
    drop(stream);
    served.done.await.unwrap();
}

// Frames of HTTP/2 (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

/// The next frame: its type, its flags, what is in it.
async fn frame_of(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.unwrap();
    (head[3], head[4], payload)
}

#[tokio::test]
async fn http2_without_tls_is_understood() {
    let served = served(ServeConfig::default()).await;
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    // The preface, in two parts, and an empty SETTINGS frame (RFC 9113, 3.4 and 6.5).
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    stream.write_all(b"\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4, "the server answers with its own SETTINGS");
}
