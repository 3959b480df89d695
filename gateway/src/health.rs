//! What `/health` and `/ready` say, for every role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bookmesh_rpc::api::{NodeRole, RackId};
use bookmesh_rpc::mesh::BoxFuture;
use bookmesh_rpc::peer::PeerId;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::openapi::forms;

/// How old an answer of `/health` may be, so that nobody can load the mesh with asking.
const FRESH: Duration = Duration::from_secs(1);

/// How well something is. The worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Wellness {
    /// All of it works.
    Healthy,
    /// It works, with less than it aims for.
    Degraded,
    /// It does not.
    Unhealthy,
}

/// How a node is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    /// All in all.
    pub status: Wellness,
    /// What the node is.
    #[serde(serialize_with = "role_name")]
    #[schema(schema_with = forms::node_role)]
    pub role: NodeRole,
    /// Who it is.
    #[serde(serialize_with = "crate::health::text")]
    #[schema(schema_with = forms::peer)]
    pub peer_id: PeerId,
    /// By name: `mesh`, `books`, `orders`.
    pub services: BTreeMap<&'static str, Wellness>,
    /// The racks that it holds or, for a gateway, routes to.
    pub racks: Vec<RackHealth>,
    /// Of a worker of orders: how the circuit breaker towards each rack of books stands that it
    /// has asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub breakers: Vec<BreakerHealth>,
    /// What it lacks besides, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// How a rack is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RackHealth {
    /// Which.
    #[schema(schema_with = forms::rack)]
    pub id: RackId,
    /// What it holds: `book`, `order`.
    #[serde(rename = "type")]
    #[schema(schema_with = forms::rack_kind)]
    pub kind: &'static str,
    /// Healthy: it has a leader and as many voters as it aims for, all of them reachable.
    pub status: Wellness,
    /// Its leader, if it has one.
    #[schema(schema_with = forms::peer_or_none, required = true)]
    pub leader: Option<String>,
    /// Voters that answer.
    pub voters: usize,
    /// What it lacks, for people; none when it is healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
}

/// How a circuit breaker stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BreakerHealth {
    /// The rack that is asked through it.
    #[schema(schema_with = forms::rack)]
    pub dependency: RackId,
    /// `closed`: it is asked; `open`: what needs it is refused at once; `half-open`: likewise, and
    /// it is being tried.
    pub state: &'static str,
    /// Since when it is closed, or is not.
    #[serde(serialize_with = "time")]
    #[schema(schema_with = forms::time)]
    pub since: SystemTime,
}

/// Who knows how a node is. Asked once a second at most.
pub trait HealthSource: Send + Sync + 'static {
    /// How the node is now.
    fn health(&self) -> BoxFuture<'_, Health>;
    /// Whether it can do its job; if not, why, for people.
    ///
    /// # Errors
    /// The reason.
    fn ready(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Keeps the last answer for a second.
pub(crate) struct CachedHealth {
    source: Arc<dyn HealthSource>,
    // An async mutex: callers that wait while one asks share what it learns.
    last: Mutex<Option<(Instant, Arc<Health>)>>,
}

impl CachedHealth {
    pub(crate) fn new(source: Arc<dyn HealthSource>) -> Self {
        Self { source, last: Mutex::new(None) }
    }

    pub(crate) fn source(&self) -> &dyn HealthSource {
        &*self.source
    }

    pub(crate) async fn get(&self) -> Arc<Health> {
        let mut last = self.last.lock().await;
        if let Some((at, health)) = &*last
            && at.elapsed() < FRESH
        {
            return health.clone();
        }
        let health = Arc::new(self.source.health().await);
        *last = Some((Instant::now(), health.clone()));
        health
    }
}

fn role_name<S: serde::Serializer>(role: &NodeRole, serializer: S) -> Result<S::Ok, S::Error> {
    // A worker's and an orchestrator's names are those of `/nodes`.
    serializer.serialize_str(role.name())
}

fn time<S: serde::Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_millis(*time))
}

fn text<S, T>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: serde::Serializer,
    T: std::fmt::Display,
{
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counting(AtomicUsize);

    impl HealthSource for Counting {
        fn health(&self) -> BoxFuture<'_, Health> {
            Box::pin(async {
                self.0.fetch_add(1, Ordering::SeqCst);
                Health {
                    status: Wellness::Healthy,
                    role: NodeRole::Worker,
                    peer_id: PeerId::from_bytes([1; 32]),
                    services: BTreeMap::new(),
                    racks: Vec::new(),
                    breakers: Vec::new(),
                    reason: None,
                }
            })
        }
        fn ready(&self) -> BoxFuture<'_, Result<(), String>> {
            Box::pin(async { Ok(()) })
        }
    }

    #[test]
    fn a_breaker_says_since_when() {
        let breaker = BreakerHealth {
            dependency: "book-rack-001".parse().unwrap(),
            state: "open",
            since: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        };
        let shown = serde_json::to_value(breaker).unwrap();
        let since = "1970-01-01T00:00:01.500Z";
        let expected = serde_json::json!(
            {"dependency": "book-rack-001", "state": "open", "since": since}
        );
        assert_eq!(shown, expected);
    }

    #[tokio::test]
    async fn many_callers_ask_the_mesh_once() {
        let source = Arc::new(Counting(AtomicUsize::new(0)));
        let cached = CachedHealth::new(source.clone());
        futures::future::join_all((0..50).map(|_| cached.get())).await;
        assert_eq!(source.0.load(Ordering::SeqCst), 1);
    }
}
