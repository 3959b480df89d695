//! What stands between a connection and the router, the same for every role: limits by client,
//! what browsers need, what caches and browsers are told, compression.
//!
//! | module | job |
//! |---|---|
//! | `headers` | what every answer says: nothing is guessed, framed or kept |
//! | `cors` | which pages of other origins may call |
//! | `client_address` | whom a request comes from, behind proxies too |
//! | `proxy_names` | where the names of proxies lead to |
//! | `rate_limit`, `clients` | a bucket of tokens for each client, in bounded memory |
//! | `compression` | large answers shrink for those who ask for it |
//! | `wire` | a connection's bytes: readers that stopped, and hyper's own errors |
//! | `stalls` | HTTP/2 answers that their client does not take |
//! | `malformed` | hyper's own errors in our shape |
//! | `per_client` | connections of one address |
//!
//! One wrapper instead of a stack of layers: what is off costs a look at an `Option`, and no
//! request is boxed once more.

mod client_address;
mod clients;
mod compression;
mod cors;
mod headers;
pub(crate) mod malformed;
pub(crate) mod per_client;
mod proxy_names;
mod rate_limit;
pub(crate) mod stalls;
pub(crate) mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, Request, Response, Version, header};
use axum::routing::future::RouteFuture;
use tower::{BoxError, Service};

use self::client_address::Proxies;
pub use self::client_address::TrustedProxies;
pub use self::cors::Origins;
use self::rate_limit::Limiter;
pub use self::rate_limit::RateLimit;
use self::stalls::Stalls;
use crate::call::{X_REQUEST_ID, request_id};
use crate::http_error::HttpError;

/// The longest path with its query, in bytes; RFC 9110 asks for 8,000 at least. hyper's own limit
/// is 64 KiB.
const MAX_URI_BYTES: usize = 8 * 1024;
/// The most bytes of a request's head. hyper stops reading there, and lets more pass when it comes
/// in one piece.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What the edge is told. By default nobody calls from a browser, and nobody is limited.
#[derive(Clone, Debug, Default)]
pub struct EdgeConfig {
    /// Pages that may call from a browser; none without it.
    pub cors: Option<Origins>,
    /// Requests of one client; unlimited without it.
    pub rate_limit: Option<RateLimit>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: TrustedProxies,
}

/// The edge, shared by all connections.
#[derive(Debug)]
pub(crate) struct Edge {
    cors: Option<Origins>,
    limiter: Option<Limiter>,
    pub(crate) proxies: Proxies,
}

impl Edge {
    pub(crate) fn new(config: EdgeConfig) -> Self {
        let EdgeConfig { cors, rate_limit, trusted_proxies } = config;
        let proxies = Proxies::new(&trusted_proxies);
        Self { cors, limiter: rate_limit.map(Limiter::new), proxies }
    }

    /// The answer to a request that no handler has to see.
    fn early<B>(&self, request: &Request<B>, peer: IpAddr) -> Option<Response<Body>> {
        if self.cors.is_some() && cors::is_preflight(request) {
            // Not limited: it costs nothing, and a page that gets none can't tell why.
            let mut answer = cors::preflight();
            set_request_id(&mut answer, &request_id(request.headers()));
            return Some(answer);
        }
        let uri_bytes = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
        let error = if uri_bytes > MAX_URI_BYTES {
            HttpError::uri_too_long(MAX_URI_BYTES)
        } else if uri_bytes + bytes_of(request.headers()) > MAX_HEAD_BYTES {
            HttpError::head_too_large()
        } else if !names_its_host(request) {
            HttpError::no_host()
        } else {
            let limiter = self.limiter.as_ref().filter(|_| !is_for_operators(request))?;
            let client = self.proxies.client(peer, request.headers());
            HttpError::rate_limited(limiter.refuses(client)?)
        };
        let id = request_id(request.headers());
        let (status, path) = (error.status.as_u16(), request.uri().path());
        // A flood of requests must not become one of lines: it is counted.
        tracing::debug!(target: "http", status, path, request_id = %id, "refused at the edge");
        let mut answer = error.render(&id, false);
        set_request_id(&mut answer, &id);
        Some(answer)
    }
}

fn set_request_id(answer: &mut Response<Body>, id: &bookmesh_rpc::api::RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        answer.headers_mut().insert(X_REQUEST_ID, value);
    }
}

/// HTTP/1.1 wants one `Host` (RFC 9112, 3.2); HTTP/2 has an authority of its own.
fn names_its_host<B>(request: &Request<B>) -> bool {
    request.version() != Version::HTTP_11
        || request.headers().get_all(header::HOST).iter().count() == 1
}

/// Headers as HTTP/1 writes them.
fn bytes_of(headers: &HeaderMap) -> usize {
    let around = ": \r\n".len();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + around).sum()
}

/// Health checks and scrapes: a node that is too busy to say how it is would be taken for dead.
fn is_for_operators<B>(request: &Request<B>) -> bool {
    matches!(request.uri().path(), "/live" | "/ready" | "/health" | "/metrics")
}

/// The edge as one connection has it.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    edge: Arc<Edge>,
    router: Router,
    peer: IpAddr,
    /// Of HTTP/2 connections.
    stalls: Option<Arc<Stalls>>,
}

impl Front {
    pub(crate) fn new(
        edge: Arc<Edge>,
        router: Router,
        peer: IpAddr,
        stalls: Option<Arc<Stalls>>,
    ) -> Self {
        Self { edge, router, peer, stalls }
    }
}

impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<B>>::poll_ready(&mut self.router, cx)
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        let origin = self.edge.cors.as_ref().and_then(|cors| cors.grant(request.headers()));
        let wanted = compression::Wanted::by(request.headers());
        let progress = match self.edge.early(&request, self.peer) {
            Some(answer) => Progress::Early(Some(answer)),
            None => Progress::Routed(self.router.call(request)),
        };
        let (edge, stalls) = (self.edge.clone(), self.stalls.clone());
        Answering { progress, edge, origin, wanted, stalls }
    }
}

enum Progress {
    Early(Option<Response<Body>>),
    Routed(RouteFuture<Infallible>),
}

/// An answer on its way.
pub(crate) struct Answering {
    progress: Progress,
    edge: Arc<Edge>,
    /// What a page of another origin is granted.
    origin: Option<HeaderValue>,
    wanted: compression::Wanted,
    stalls: Option<Arc<Stalls>>,
}

impl Future for Answering {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.progress {
            Progress::Early(answer) => match answer.take() {
                Some(answer) => answer,
                // Only a future that is polled after its end comes here.
                None => return Poll::Pending,
            },
            Progress::Routed(answer) => {
                let Ok(answer) = ready!(Pin::new(answer).poll(cx));
                answer
            }
        };
        let mut answer = self.wanted.compress(answer);
        headers::secure(&mut answer);
        let origin = self.origin.take();
        if let Some(cors) = &self.edge.cors {
            cors.expose(origin, answer.headers_mut());
        }
        if let Some(stalls) = &self.stalls {
            answer = stalls.watch(answer);
        }
        Poll::Ready(Ok(answer))
    }
}
