//! The mesh: who the nodes are, what they say to each other, and how it travels.
//!
//! | file | idea |
//! |---|---|
//! | [`peer`] | a node's 32-byte id and its key |
//! | [`api`] | the typed methods between nodes, their requests, replies and errors |
//! | [`codec`] | bytes of those types, with a size limit |
//! | [`frame`] | what one long-lived stream between two peers carries |
//! | [`admission`] | both ends of a connection prove the mesh's key |
//! | `transport` | TCP and QUIC, encrypted and admitted |
//! | `swarm` | the one task that owns the connections and the DHT |
//! | `discovery` | bootstrap addresses, and whether anybody was found |
//! | `multiplex` | calls and streams over one stream per peer and lane |
//! | `flow` | the limits |
//! | [`reliability`] | backoff and circuit breaker |
//! | `links` | the lanes to all peers, opened when they are needed |
//! | `metrics` | what operators count |
//! | [`mesh`] | the handle the rest of the program holds |
//! | [`timing`] | where a request's time goes, over all nodes that take part |
//! | [`orks`] | the orchestrators: who they are, calls to the registry, announcements |
//! | [`routing`] | where every rack is, and calls to whichever member can answer |
//!
#![doc = include_str!("../BOUNDS.md")]

pub mod admission;
pub mod api;
pub mod codec;
mod config;
mod context;
mod discovery;
mod error;
mod flow;
pub mod frame;
mod links;
pub mod mesh;
mod metrics;
mod multiplex;
pub mod orks;
pub mod peer;
pub mod reliability;
pub mod routing;
mod service;
mod swarm;
#[cfg(feature = "testing")]
pub mod testing;
pub mod timing;
mod transport;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use mesh::{Mesh, MeshConfig};
pub use peer::{NodeKey, PeerId};

/// Locks; what a panicking holder left behind is as good as anything else here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
