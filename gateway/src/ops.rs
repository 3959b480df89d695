//! `/live`, `/ready`, `/health` and `/metrics`: the same four on every role.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::answer::json;
use crate::call::{Call, Limits};
use crate::container::Container;
use crate::endpoint::Answer;
use crate::gauges::{self, GaugeSource, TELL_WITHIN};
use crate::health::{CachedHealth, Health, HealthSource, Wellness};
use crate::http_error::HttpError;
use crate::metrics;
use crate::routes::{self, closed};
use crate::system::SystemUse;

/// These four take no body and should answer at once.
const LIMITS: Limits = Limits {
    body_bytes: 0,
    time: Duration::from_secs(5),
    slow: Duration::from_secs(1),
    detailed: false,
};

/// Prometheus' text exposition format.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

pub(crate) struct Ops {
    health: CachedHealth,
    gauges: Vec<Arc<dyn GaugeSource>>,
    version: String,
    started: Instant,
}

/// The four routes, and the error shape for everything else. `/metrics` tells of all sources, and
/// `version` is the program's.
pub fn ops_router(
    source: Arc<dyn HealthSource>,
    gauges: Vec<Arc<dyn GaugeSource>>,
    version: impl Into<String>,
) -> Router {
    closed(routes(source, gauges, version.into()), LIMITS)
}

/// The four routes alone, to be merged with others.
pub(crate) fn routes(
    source: Arc<dyn HealthSource>,
    mut gauges: Vec<Arc<dyn GaugeSource>>,
    version: String,
) -> Router {
    metrics::install();
    gauges.push(Arc::new(Container));
    let health = CachedHealth::new(source);
    let ops = Ops { health, gauges, version, started: Instant::now() };
    router(Arc::new(ops), LIMITS)
}

routes::routes! { Ops;
    get "/live"    "live"    live;
    get "/ready"   "ready"   ready;
    get "/health"  "health"  health;
    get "/metrics" "metrics" prometheus;
}

/// `{"status":"live"}`.
#[derive(Serialize, ToSchema)]
#[schema(as = State)]
pub(crate) struct Live {
    #[schema(value_type = String)]
    status: &'static str,
}

async fn live(_ops: Arc<Ops>, _call: Call) -> Answer {
    Ok(json(StatusCode::OK, &Live { status: "live" }))
}

async fn ready(ops: Arc<Ops>, _call: Call) -> Answer {
    match ops.health.source().ready().await {
        Ok(()) => Ok(json(StatusCode::OK, &Live { status: "ready" })),
        Err(why) => Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_NOT_READY", why)),
    }
}

/// How the node is, and what it uses.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthReport)]
pub(crate) struct HealthJson<'a> {
    #[serde(flatten)]
    health: &'a Health,
    version: &'a str,
    uptime_s: u64,
    system: SystemUse,
}

async fn health(ops: Arc<Ops>, _call: Call) -> Answer {
    let health = ops.health.get().await;
    let status = match health.status {
        Wellness::Healthy | Wellness::Degraded => StatusCode::OK,
        Wellness::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
    };
    let system = SystemUse::since(ops.started).await;
    let (version, uptime_s) = (ops.version.as_str(), ops.started.elapsed().as_secs());
    Ok(json(status, &HealthJson { health: &health, version, uptime_s, system }))
}

async fn prometheus(ops: Arc<Ops>, _call: Call) -> Answer {
    let gauges = gauges::ask(&ops.gauges, TELL_WITHIN).await;
    let mut response = Response::new(Body::from(metrics::render() + &gauges.render()));
    response.headers_mut().insert(header::CONTENT_TYPE, PROMETHEUS);
    Ok(response)
}
