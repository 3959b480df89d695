//! The process's metrics: one recorder, rendered as Prometheus text by `/metrics`.

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// Upper bounds of latency buckets, in seconds: 100 µs to the default request timeout.
const LATENCY_BUCKETS_S: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 15.0,
];

struct Installed {
    handle: PrometheusHandle,
    process: Collector,
}

static INSTALLED: OnceLock<Option<Installed>> = OnceLock::new();

/// Installs the recorder, once per process; later calls do nothing. Metrics made before this are
/// not counted, so a program calls it first thing.
pub fn install() {
    installed();
}

/// All metrics as Prometheus text (exposition format 0.0.4). Empty when another recorder was
/// installed before.
pub(crate) fn render() -> String {
    let Some(installed) = installed() else { return String::new() };
    installed.process.collect();
    installed.handle.render()
}

/// Moves what histograms gathered into their buckets; without it they grow until someone scrapes.
pub(crate) fn upkeep() {
    if let Some(installed) = installed() {
        installed.handle.run_upkeep();
    }
}

fn installed() -> Option<&'static Installed> {
    INSTALLED.get_or_init(build).as_ref()
}

fn build() -> Option<Installed> {
    let latencies = Matcher::Suffix("_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(latencies, &LATENCY_BUCKETS_S);
    let recorder = match builder {
        Ok(builder) => builder.build_recorder(),
        Err(error) => {
            tracing::error!(%error, "metrics can't be kept");
            return None;
        }
    };
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed: /metrics stays empty");
        return None;
    }
    let process = Collector::default();
    process.describe();
    metrics::describe_counter!("http_requests_total", "HTTP requests answered.");
    metrics::describe_histogram!(
        "http_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time from a request's head to its answer's head."
    );
    let counted = [
        ("http_rate_limited_total", "Requests refused because their client sent too many."),
        ("http_slow_readers_cut_total", "Connections cut because their client did not read."),
        ("http_connections_refused_total", "Connections refused: their client had enough."),
    ];
    for (name, meaning) in counted {
        metrics::describe_counter!(name, meaning);
        // There from the start: a rate begins with the first refusal, not with the second.
        metrics::counter!(name).increment(0);
    }
    Some(Installed { handle, process })
}

/// One handler's metrics, looked up once.
pub(crate) struct Meter {
    by_class: [Counter; 5],
    duration: Histogram,
}

impl Meter {
    pub(crate) fn new(handler: &'static str, method: &'static str) -> Self {
        let by_class = ["1xx", "2xx", "3xx", "4xx", "5xx"].map(|class| {
            metrics::counter!(
                "http_requests_total",
                "handler" => handler, "method" => method, "status_class" => class
            )
        });
        let duration = metrics::histogram!("http_request_duration_seconds", "handler" => handler);
        Self { by_class, duration }
    }

    pub(crate) fn record(&self, status: StatusCode, elapsed: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.by_class[class].increment(1);
        self.duration.record(elapsed.as_secs_f64());
    }
}
