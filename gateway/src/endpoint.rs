//! What stands around every handler: the request's id, one log line, metrics, and the shape of
//! whatever goes wrong, a panic included. One wrapper instead of a stack of layers, so that a
//! request costs one boxed future.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, Response, StatusCode};
use bookmesh_rpc::api::RequestId;
use bookmesh_rpc::timing::{Parts, Timing};
use futures::FutureExt;

use crate::call::{Call, Limits, X_REQUEST_ID};
use crate::http_error::HttpError;
use crate::metrics::Meter;

/// What a handler answers.
pub(crate) type Answer = Result<Response<Body>, HttpError>;

/// A handler with its surroundings.
#[derive(Clone)]
pub(crate) struct Endpoint<F> {
    handle: F,
    limits: Limits,
    meter: Arc<Meter>,
}

impl<F> Endpoint<F> {
    /// `name` is the handler's label in metrics, `method` the HTTP method's.
    pub(crate) fn new(name: &'static str, method: &'static str, limits: Limits, handle: F) -> Self {
        Self { handle, limits, meter: Arc::new(Meter::new(name, method)) }
    }
}

impl<S, F, Fut> Handler<(), S> for Endpoint<F>
where
    S: Send + 'static,
    F: Fn(S, Call) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Answer> + Send,
{
    type Future = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

    fn call(self, request: Request, state: S) -> Self::Future {
        Box::pin(async move {
            let started = Instant::now();
            let (method, uri) = (request.method().clone(), request.uri().clone());
            let call = Call::new(request, self.limits);
            let id = call.context.request_id.clone();
            // Handlers share nothing that a panic could leave half done: state behind locks is
            // replaced whole, and a poisoned lock is recovered.
            let timing = Arc::new(Timing::default());
            let handling = AssertUnwindSafe((self.handle)(state, call)).catch_unwind();
            let outcome = timing.measure(pin!(handling)).await;
            let answer = outcome.unwrap_or_else(|_| Err(HttpError::internal("a handler panicked")));
            let mut response =
                answer.unwrap_or_else(|error| error.render(&id, self.limits.detailed));
            if let Ok(value) = HeaderValue::from_str(id.as_str()) {
                response.headers_mut().insert(X_REQUEST_ID, value);
            }
            let elapsed = started.elapsed();
            self.meter.record(response.status(), elapsed);
            let line =
                Line { method: &method, path: uri.path(), status: response.status(), id: &id };
            line.log(elapsed, self.limits.slow, &timing.parts());
            response
        })
    }
}

/// One line for each request; one that was slow says where its time went.
struct Line<'a> {
    method: &'a Method,
    path: &'a str,
    status: StatusCode,
    id: &'a RequestId,
}

impl Line<'_> {
    fn log(&self, elapsed: Duration, slow: Duration, parts: &Parts) {
        let Self { method, path, status, id } = self;
        let (status, duration_ms) = (status.as_u16(), ms(elapsed));
        if elapsed < slow {
            tracing::info!(target: "http", %method, path, status, duration_ms, request_id = %id);
            return;
        }
        let Parts { asked, network, majority, apply } = *parts;
        // Calls to several racks go side by side, and add up to more than what was waited.
        let gateway_ms = ms(elapsed.saturating_sub(asked));
        let worker_ms = ms(asked.saturating_sub(network + majority + apply));
        let (network_ms, commit_ms, apply_ms) = (ms(network), ms(majority), ms(apply));
        tracing::warn!(
            target: "http", %method, path, status, duration_ms, gateway_ms, network_ms, worker_ms,
            commit_ms, apply_ms, request_id = %id, "slow"
        );
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Answers unknown paths.
pub(crate) async fn not_found(_state: (), _call: Call) -> Answer {
    Err(HttpError::not_found())
}

/// Answers known paths with a method they don't take; axum adds `Allow`.
pub(crate) async fn method_not_allowed(_state: (), _call: Call) -> Answer {
    Err(HttpError::method_not_allowed())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const LIMITS: Limits = Limits {
        body_bytes: 10,
        time: Duration::from_secs(1),
        slow: Duration::from_secs(1),
        detailed: true,
    };

    async fn boom(_state: (), call: Call) -> Answer {
        panic!("{:?}", call.uri())
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_an_error_of_the_usual_shape() {
        let request = Request::builder().header(X_REQUEST_ID, "me-1").body(Body::empty()).unwrap();
        let response = Endpoint::new("boom", "get", LIMITS, boom).call(request, ()).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[X_REQUEST_ID], "me-1");
        let body = to_bytes(response.into_body(), 1_000).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "ERR_INTERNAL");
        assert_eq!((&body["statusCode"], &body["requestId"]), (&500.into(), &"me-1".into()));
    }
}
