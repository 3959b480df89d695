//! How a rack stands, as a gateway shows it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use super::{Api, eventually};

/// How far a member may be behind another while writes go on, in entries, and count as there.
const NEAR: u64 = 100;

/// A rack; nothing of it while the gateway can't say.
pub struct Standing(Value);

impl Standing {
    pub async fn of(api: &Api, rack: &str) -> Self {
        let answer = api.try_send(Method::GET, &format!("/racks/{rack}"), None).await;
        Self(answer.map(|answer| answer.body["data"].clone()).unwrap_or_default())
    }

    /// The peer id of the leader.
    pub fn leader(&self) -> Option<String> {
        self.0["leader"].as_str().map(str::to_owned)
    }

    fn members(&self) -> &[Value] {
        self.0["members"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether there are exactly this many members, and all of them vote and can be reached.
    fn is_full(&self, count: usize) -> bool {
        let votes = |member: &Value| member["role"] == "voter" && member["state"] != "unreachable";
        self.members().len() == count && self.members().iter().all(votes) && self.leader().is_some()
    }

    /// Whether there are exactly this many members, all vote, and all have the same history.
    pub fn agrees(&self, count: usize) -> bool {
        let head =
            |member: &Value| (member["head_hash"].to_string(), member["applied_index"].to_string());
        let heads: BTreeSet<_> = self.members().iter().map(head).collect();
        self.is_full(count) && heads.len() == 1
    }

    /// Whether there are exactly this many members, all vote, and all keep up with each other
    /// while writes go on.
    pub fn keeps_up(&self, count: usize) -> bool {
        let applied = |member: &Value| member["applied_index"].as_u64().unwrap_or_default();
        let applied: BTreeSet<_> = self.members().iter().map(applied).collect();
        let (first, last) = (applied.first().copied(), applied.last().copied());
        self.is_full(count) && last.unwrap_or_default() - first.unwrap_or_default() < NEAR
    }
}

/// The peer id of the leader, once there is one.
pub async fn leader(api: &Api, rack: &str) -> String {
    eventually("a leader", || async { Standing::of(api, rack).await.leader() }).await
}

/// Waits until the rack has exactly this many members, and all vote and have the same history.
pub async fn agreement(api: &Api, rack: &str, count: usize) {
    let what = format!("{count} voters with one history");
    eventually(&what, || async { Standing::of(api, rack).await.agrees(count).then_some(()) }).await;
}

/// As [`agreement`], while writes go on.
pub async fn readiness(api: &Api, rack: &str, count: usize) {
    let what = format!("{count} voters that keep up");
    eventually(&what, || async { Standing::of(api, rack).await.keeps_up(count).then_some(()) })
        .await;
}
