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
    #[serde(default)]
    pub(super) members: Vec<Member>,
}

/// A member of a rack.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Member {
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
