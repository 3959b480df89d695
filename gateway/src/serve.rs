//! Accepts HTTP connections, bounded in number and in time, and drains them at the end.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::edge::per_client::{Counted, PerClient};
use crate::edge::stalls::Stalls;
use crate::edge::wire::Wire;
use crate::edge::{Edge, EdgeConfig, Front, MAX_HEAD_BYTES};

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Connections at a time; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// Connections of one client at a time, trusted proxies left out; further ones are closed.
    pub max_connections_per_client: Option<usize>,
    /// How long the head of a request may take, an idle connection's next one included.
    pub head_timeout: Duration,
    /// How long a client may read nothing while there is something for it.
    pub write_timeout: Duration,
    /// How long requests in flight may take to end after the shutdown began.
    pub drain_timeout: Duration,
    /// Browsers, limits by client, proxies.
    pub edge: EdgeConfig,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_client: None,
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            edge: EdgeConfig::default(),
        }
    }
}

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a connection that has sent part of the preface.
const PREFACE_POLL: Duration = Duration::from_millis(5);
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// HTTP/2 requests that were opened and reset at once, and not yet seen: what is above it ends the
/// connection. Opening and resetting without end is cheap for the client alone (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// HTTP/2 streams that we had to reset since the client broke the rules (CVE-2025-8671).
const MAX_OWN_RESETS: usize = 64;
/// What one HTTP/2 request may send ahead of whoever reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// And all requests of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What waits to be sent for one HTTP/2 request, in bytes; a client that does not read has as much
/// for each of its streams.
const MAX_SEND_BYTES: usize = 64 * 1024;
/// How long an HTTP/2 client may take to answer a ping.
const PONG_WITHIN: Duration = Duration::from_secs(20);
/// After an accept that failed for want of resources, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often metrics' histograms are tidied.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Serves HTTP/1.1 and cleartext HTTP/2 until `shutdown` completes, then lets requests in flight
/// end within [`ServeConfig::drain_timeout`]; what is still open after it is cut.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: ServeConfig,
    shutdown: impl Future<Output = ()> + Send,
) {
    let graceful = GracefulShutdown::new();
    let server = Arc::new(Server::new(router, config));
    let mut connections = JoinSet::new();
    // Closed when the shutdown begins.
    let (open, closing) = watch::channel(());
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let edge = server.edge.clone();
    let follow_names = edge.proxies.follow();
    tokio::pin!(shutdown, follow_names);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            () = &mut follow_names => {}
            _ = upkeep.tick() => crate::metrics::upkeep(),
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = server.accept(&listener) => {
                let ends = Ends { watcher: graceful.watcher(), closing: closing.clone() };
                connections.spawn(server.clone().connection(accepted, ends));
            }
        }
    }
    drop((listener, open));
    let drained = timeout(server.config.drain_timeout, graceful.shutdown()).await;
    if drained.is_err() {
        let left = connections.len();
        tracing::warn!(left, "connections were cut: their requests did not end in time");
    }
    connections.shutdown().await;
}

fn http(config: &ServeConfig) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(MAX_SEND_BYTES)
        .keep_alive_interval(config.head_timeout)
        .keep_alive_timeout(PONG_WITHIN);
    http
}

/// How a connection learns that it should end.
struct Ends {
    /// For hyper: once the request in flight is answered.
    watcher: Watcher,
    /// At once, while there is no request.
    closing: watch::Receiver<()>,
}

struct Server {
    http: Builder<TokioExecutor>,
    router: Router,
    edge: Arc<Edge>,
    places: Arc<Semaphore>,
    per_client: Option<Arc<PerClient>>,
    config: ServeConfig,
}

/// A connection with its places.
struct Accepted {
    stream: TcpStream,
    peer: IpAddr,
    _place: OwnedSemaphorePermit,
    _counted: Option<Counted>,
}

/// The client has as many connections as it may.
struct Enough;

impl Server {
    fn new(router: Router, config: ServeConfig) -> Self {
        Self {
            http: http(&config),
            router,
            edge: Arc::new(Edge::new(config.edge.clone())),
            places: Arc::new(Semaphore::new(config.max_connections)),
            per_client: config.max_connections_per_client.map(PerClient::new),
            config,
        }
    }

    /// The next connection, once there is a place for it.
    async fn accept(&self, listener: &TcpListener) -> Accepted {
        loop {
            let Ok(_place) = self.places.clone().acquire_owned().await else {
                // Nobody closes the semaphore; were it closed, there would be no more places.
                std::future::pending::<()>().await;
                continue;
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let peer = peer.ip().to_canonical();
                    if let Ok(_counted) = self.count(peer) {
                        return Accepted { stream, peer, _place, _counted };
                    }
                    // Closed without a word: which protocol it speaks is not known yet.
                    metrics::counter!("http_connections_refused_total").increment(1);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection can't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Counts a connection with its client's, where they are counted.
    fn count(&self, peer: IpAddr) -> Result<Option<Counted>, Enough> {
        match &self.per_client {
            Some(per_client) if !self.edge.proxies.contain(peer) => {
                per_client.admit(peer).map(Some).ok_or(Enough)
            }
            _ => Ok(None),
        }
    }

    async fn connection(self: Arc<Self>, accepted: Accepted, mut ends: Ends) {
        let Accepted { stream, peer, _place, _counted } = accepted;
        let looked = tokio::select! {
            looked = timeout(self.config.head_timeout, speaks_http2(&stream)) => looked,
            _ = ends.closing.changed() => return,
        };
        let Ok(Ok(http2)) = looked else { return };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let http =
            if http2 { self.http.clone().http2_only() } else { self.http.clone().http1_only() };
        let stalls = http2.then(Arc::<Stalls>::default);
        let front = Front::new(self.edge.clone(), self.router.clone(), peer, stalls.clone());
        let wire = TokioIo::new(Wire::new(stream, self.config.write_timeout, !http2));
        let service = TowerToHyperService::new(front);
        let connection = http.serve_connection(wire, service).into_owned();
        let stalled = async {
            match stalls {
                Some(stalls) => stalls.too_long(self.config.write_timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = ends.watcher.watch(connection) => if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            },
            () = stalled => tracing::debug!(%peer, "a client does not take its answers"),
        }
    }
}

/// Whether the client begins with HTTP/2's preface. Looked at before hyper gets the connection:
/// hyper waits for the first bytes without a limit.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut seen = [0; HTTP2_PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let is_preface = HTTP2_PREFACE.starts_with(&seen[..count]);
        if count == 0 || !is_preface || count == seen.len() {
            return Ok(is_preface && count == seen.len());
        }
        tokio::time::sleep(PREFACE_POLL).await;
    }
}
