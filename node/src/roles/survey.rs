//! How the members of a rack on other nodes stand: asked all at once, and those that they name too.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{GetMember, MemberStatus};
use bookmesh_rpc::mesh::Context;

use super::rack::Rack;

/// How long one may take to answer; then it counts as unreachable.
const CONTACT: Duration = Duration::from_secs(1);

/// A node, and how its member stands.
pub type Standing = (PeerId, MemberStatus);

/// How everyone stands who holds the rack and answers: these, those that the DHT names, and those
/// that any of them has as members. This node itself is left out. Takes two seconds at most.
pub async fn members(rack: &Rack, hints: &[PeerId], context: &Context) -> Vec<Standing> {
    let mesh = &rack.place.mesh;
    let mut asked = BTreeSet::from([mesh.peer_id()]);
    let mut found = Vec::new();
    let deadline = context.deadline.min(Instant::now() + CONTACT);
    let briefly = Context { deadline, ..context.clone() };
    let mut wave: Vec<_> = mesh.providers(&rack.place.id.dht_key(), &briefly).await;
    wave.extend(hints);
    // The first wave knows all members, unless it knows of none.
    for _ in 0..2 {
        wave.retain(|peer| asked.insert(*peer));
        found.extend(ask(rack, &wave, context).await);
        let named = found.iter().flat_map(|(_, status): &Standing| &status.members);
        wave = named.map(|member| member.peer).collect();
    }
    found
}

async fn ask(rack: &Rack, peers: &[PeerId], context: &Context) -> Vec<Standing> {
    let deadline = context.deadline.min(Instant::now() + CONTACT);
    let context = Context { deadline, ..context.clone() };
    let asked = peers.iter().map(|peer| {
        let request = GetMember { rack: rack.place.id.clone() };
        let answer = rack.place.mesh.call(*peer, &context, request);
        async move { Some((*peer, answer.await.ok()?)) }
    });
    futures::future::join_all(asked).await.into_iter().flatten().collect()
}
