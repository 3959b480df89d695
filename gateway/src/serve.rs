//! Accepts HTTP connections, bounded in number and in time, and drains them at the end.

use std::future::Future;
use std::io;
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

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Connections at a time; further ones wait in the kernel's backlog.
    pub max_connections: usize,
    /// How long the head of a request may take, an idle connection's next one included.
    pub head_timeout: Duration,
    /// How long requests in flight may take to end after the shutdown began.
    pub drain_timeout: Duration,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            head_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a connection that has sent part of the preface.
const PREFACE_POLL: Duration = Duration::from_millis(5);
/// The most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
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
    let server = Arc::new(Server { http: http(&config), router, config });
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(server.config.max_connections));
    let mut connections = JoinSet::new();
    // Closed when the shutdown begins.
    let (open, closing) = watch::channel(());
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = upkeep.tick() => crate::metrics::upkeep(),
            _ = connections.join_next(), if !connections.is_empty() => {}
            (stream, place) = accept(&listener, &places) => {
                let ends = Ends { watcher: graceful.watcher(), closing: closing.clone() };
                connections.spawn(server.clone().connection(stream, place, ends));
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

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            // Nobody closes the semaphore; were it closed, there would be no more places.
            std::future::pending::<()>().await;
            continue;
        };
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn http(config: &ServeConfig) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(config.head_timeout);
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
    config: ServeConfig,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        _place: OwnedSemaphorePermit,
        mut ends: Ends,
    ) {
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
        let service = TowerToHyperService::new(self.router.clone());
        let connection = http.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = ends.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
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
