//! How a test's rack stands, as a gateway shows it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use super::{Api, eventually, mesh};

/// How far a member may be behind another while writes go on, in entries, and count as there.
const NEAR: u64 = 100;

/// The rack; null while the gateway can't say.
async fn rack(api: &Api) -> Value {
    let answer = api.try_send(Method::GET, &format!("/racks/{}", mesh::RACK), None).await;
    answer.map(|answer| answer.body["data"].clone()).unwrap_or_default()
}

pub async fn members(api: &Api) -> Vec<Value> {
    rack(api).await["members"].as_array().cloned().unwrap_or_default()
}

pub async fn voters(api: &Api) -> usize {
    members(api).await.iter().filter(|member| member["role"] == "voter").count()
}

/// The peer id of the leader, once there is one.
pub async fn leader(api: &Api) -> String {
    eventually("a leader", || async { rack(api).await["leader"].as_str().map(str::to_owned) }).await
}

/// The members, if they are this many and all of them are voters that can be reached.
fn all_vote(members: Vec<Value>, count: usize) -> Option<Vec<Value>> {
    let vote = |member: &Value| member["role"] == "voter" && member["state"] != "unreachable";
    (members.len() == count && members.iter().all(vote)).then_some(members)
}

/// Whether exactly this many voters are there and all have the same history.
pub async fn agree(api: &Api, count: usize) -> bool {
    let heads = all_vote(members(api).await, count).map(|members| {
        let head =
            |member: &Value| (member["head_hash"].to_string(), member["applied_index"].to_string());
        members.iter().map(head).collect::<BTreeSet<_>>().len()
    });
    heads == Some(1)
}

/// Whether exactly this many voters are there and keep up with each other, while writes go on.
pub async fn keep_up(api: &Api, count: usize) -> bool {
    let rack = rack(api).await;
    let members = rack["members"].as_array().cloned().unwrap_or_default();
    let applied = all_vote(members, count).map(|members| {
        let applied = |member: &Value| member["applied_index"].as_u64().unwrap_or_default();
        members.iter().map(applied).collect::<BTreeSet<_>>()
    });
    rack["leader"].is_string()
        && applied.is_some_and(|applied| applied.last().unwrap() - applied.first().unwrap() < NEAR)
}
