//! What the gateway answers, as far as the commands show it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A rack of `/racks`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rack {
    pub(super) id: String,
    #[serde(default)]
    pub(super) number: Option<u32>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) leader: Option<String>,
    #[serde(default)]
    pub(super) term: Option<u64>,
    #[serde(default)]
    pub(super) things: Option<u64>,
    #[serde(default)]
    pub(super) last_index: Option<u64>,
    #[serde(default)]
    pub(super) head_hash: Option<String>,
    /// Voters that it aims for.
    #[serde(default)]
    pub(super) wanted: Option<u64>,
    /// Whether its leader's disk has room.
    #[serde(default)]
    pub(super) writable: Option<bool>,
    #[serde(default)]
    pub(super) members: Vec<Member>,
}

/// A member of a rack.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Member {
    #[serde(default)]
    pub(super) member: Option<u64>,
    pub(super) peer_id: String,
    #[serde(default)]
    pub(super) role: Option<String>,
    pub(super) state: String,
    #[serde(default)]
    pub(super) last_index: Option<u64>,
    #[serde(default)]
    pub(super) committed_index: Option<u64>,
    #[serde(default)]
    pub(super) applied_index: Option<u64>,
    #[serde(default)]
    pub(super) head_hash: Option<String>,
    #[serde(default)]
    pub(super) writable: Option<bool>,
}

/// What `/racks/{id}/recovery` says.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Recovery {
    /// A leader that proved just now that it is one.
    #[serde(default)]
    pub(super) leader: Option<String>,
    #[serde(default)]
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) choice: Option<Choice>,
    #[serde(default)]
    pub(super) losses: Vec<String>,
    #[serde(default)]
    pub(super) members: Vec<Candidate>,
}

/// The member that a recovery would go on with.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Choice {
    pub(super) member: u64,
    pub(super) last_index: u64,
}

/// A member as a recovery shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Candidate {
    #[serde(default)]
    pub(super) member: Option<u64>,
    pub(super) peer_id: String,
    #[serde(default)]
    pub(super) role: Option<String>,
    #[serde(default)]
    pub(super) state: Option<String>,
    #[serde(default)]
    pub(super) last_index: Option<u64>,
    #[serde(default)]
    pub(super) last_term: Option<u64>,
    #[serde(default)]
    pub(super) applied_index: Option<u64>,
}

/// A node of `/nodes`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Node {
    pub(super) peer_id: String,
    pub(super) role: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) addresses: Vec<String>,
    #[serde(default)]
    pub(super) racks: Vec<String>,
    #[serde(default)]
    pub(super) last_seen: Option<String>,
}

/// A thing of `/books`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Book {
    pub(super) id: String,
    pub(super) code: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    pub(super) info: Map<String, Value>,
    pub(super) rack_id: String,
}

impl Book {
    /// A text of `info`, empty where there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.info.get(key).and_then(Value::as_str).unwrap_or_default()
    }
}
