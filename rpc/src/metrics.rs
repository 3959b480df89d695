//! What operators count. Handles are made once, so that a call costs no look-up by labels.
//!
//! They go to the recorder that is installed when the mesh starts.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::api::{Request, StreamRequest};
use crate::error::CallError;
use crate::multiplex::Traffic;

/// What became of a call, as a label.
const OUTCOMES: [&str; 9] =
    ["ok", "error", "unreachable", "broken", "timeout", "busy", "open", "protocol", "closed"];

fn outcome(error: Option<&CallError>) -> usize {
    match error {
        None => 0,
        Some(CallError::Api(_)) => 1,
        Some(CallError::Unreachable { .. }) => 2,
        Some(CallError::Broken { .. }) => 3,
        Some(CallError::Timeout { .. }) => 4,
        Some(CallError::Busy { .. }) => 5,
        Some(CallError::Open { .. }) => 6,
        Some(CallError::Protocol { .. }) => 7,
        Some(CallError::Closed) => 8,
    }
}

/// The mesh's metrics.
pub(crate) struct Metrics {
    /// By method name, sorted.
    requests: Vec<(&'static str, [Counter; OUTCOMES.len()])>,
    errors: [Counter; OUTCOMES.len()],
    refused: Counter,
    latency: Histogram,
    pub(crate) connections: Gauge,
    traffic: Traffic,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe();
        let of_method = |name: &'static str| {
            let outcomes = OUTCOMES.map(
                |outcome| counter!("mesh_requests_total", "method" => name, "outcome" => outcome),
            );
            (name, outcomes)
        };
        let names = Request::METHODS.iter().chain(StreamRequest::METHODS);
        let mut requests: Vec<_> = names.map(|name| of_method(name)).collect();
        requests.sort_unstable_by_key(|(name, _)| *name);
        let bytes = |direction| counter!("mesh_bytes_transferred_total", "direction" => direction);
        Self {
            requests,
            errors: OUTCOMES.map(|kind| counter!("mesh_errors_total", "kind" => kind)),
            refused: counter!("mesh_errors_total", "kind" => "refused"),
            latency: histogram!("mesh_latency_seconds"),
            connections: gauge!("mesh_active_connections"),
            traffic: Traffic { sent: bytes("sent"), received: bytes("received") },
        }
    }

    /// Notes a call that this node made.
    pub(crate) fn called(&self, method: &str, error: Option<&CallError>, time: Duration) {
        let outcome = outcome(error);
        if let Ok(at) = self.requests.binary_search_by_key(&method, |(name, _)| name) {
            self.requests[at].1[outcome].increment(1);
        }
        if error.is_some() {
            self.errors[outcome].increment(1);
        }
        self.latency.record(time.as_secs_f64());
    }

    /// Notes a node that was not admitted, or bytes that were no connection.
    pub(crate) fn refused(&self) {
        self.refused.increment(1);
    }

    /// Counters for one lane's bytes.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.clone()
    }
}

fn describe() {
    describe_counter!("mesh_requests_total", "Calls that this node made, by what became of them.");
    describe_counter!("mesh_errors_total", "Calls that failed, and nodes that were not admitted.");
    describe_histogram!("mesh_latency_seconds", Unit::Seconds, "Time of a call to its answer.");
    describe_gauge!("mesh_active_connections", "Peers that are connected.");
    describe_counter!(
        "mesh_bytes_transferred_total",
        Unit::Bytes,
        "Bytes of calls and their answers, before they are encrypted."
    );
}

#[cfg(test)]
mod tests {
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use super::*;
    use crate::peer::PeerId;

    #[test]
    fn a_call_is_counted_by_its_method_and_outcome() {
        let recorder = DebuggingRecorder::new();
        let snapshots = recorder.snapshotter();
        let metrics = metrics::with_local_recorder(&recorder, Metrics::new);
        let timeout = CallError::Timeout { peer: PeerId::from_bytes([0; 32]) };
        metrics.called("ping", None, Duration::from_millis(1));
        metrics.called("ping", Some(&timeout), Duration::from_millis(1));
        metrics.called("tailLog", None, Duration::from_millis(1));
        let mut counted: Vec<String> = snapshots
            .snapshot()
            .into_vec()
            .into_iter()
            .filter(|(_, _, _, value)| matches!(value, DebugValue::Counter(1)))
            .map(|(key, ..)| {
                let labels = key.key().labels().map(|label| label.value().to_owned());
                let labels: Vec<_> = labels.collect();
                format!("{} {}", key.key().name(), labels.join(" "))
            })
            .collect();
        counted.sort();
        let expected = [
            "mesh_errors_total timeout",
            "mesh_requests_total ping ok",
            "mesh_requests_total ping timeout",
            "mesh_requests_total tailLog ok",
        ];
        assert_eq!(counted, expected);
    }
}
