//! How a worker founds or joins a rack, and finds its way back after a crash at any point.
//!
//! ```text
//!            ask the registry for the rack
//!              │                        │
//!      it is ours to found        somebody has it
//!              │                        │
//!   begin the group as member 1    get a member number from the leader
//!   write its name and number      open a replica with it
//!   confirm it at the registry     ask to be seated: learner, then voter
//!   write the confirmation         │
//!              └────────► seated ◄──┘
//! ```
//!
//! Each step can be repeated, and what was decided is on disk before it is acted upon.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, AdmitMember, ApiError, Command, ConfirmRack, GetMember, GroupId, Incarnation, MemberId,
    MemberStatus, RackInfo, RegisterRack, RequestId, SeatMember, WatchRoutes,
};
use bookmesh_rpc::codec;
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_storage::view::Things;
use bookmesh_storage::{GroupName, MetaKey};
use serde::{Deserialize, Serialize};

use super::fill::{NotFilled, fill};
use super::rack::{Rack, Stage};
use super::recover;
use crate::consensus::filling::took_part;
use crate::consensus::recovery::{self, RecoveryError};
use crate::consensus::types::Seat;
use crate::consensus::{Group, GroupConfig, GroupError};

/// How long one round of founding or joining may take before it starts again.
const ROUND: Duration = Duration::from_secs(10);
/// How long members elsewhere may take to say how they stand.
const CONTACT: Duration = Duration::from_secs(1);
/// The number that a rack's first member has.
const FOUNDER: MemberId = 1;
/// The pause before the next round, doubled each time up to the last.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a member on this disk is, kept beside its log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    incarnation: Incarnation,
    member: Option<MemberId>,
    seated: bool,
}

/// Why a round did not get there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Setback {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Group(#[from] GroupError),
    #[error(transparent)]
    Store(#[from] bookmesh_storage::StoreError),
    #[error(transparent)]
    NotFilled(#[from] NotFilled),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error("{0}")]
    Other(String),
}

/// Brings the rack to its seat; returns when it is there, or can't ever be.
pub async fn run(rack: Arc<Rack>) {
    let mut pause = PAUSE;
    loop {
        match Box::pin(round(&rack)).await {
            Ok(()) => break,
            Err(setback @ (Setback::Store(_) | Setback::Group(GroupError::Log(_)))) => {
                tracing::error!(rack = %rack.place.id, %setback, "the rack can't run on this disk");
                rack.set_stage(Stage::Failed(setback.to_string()));
                return;
            }
            Err(setback) => {
                tracing::info!(rack = %rack.place.id, %setback, "not seated yet, trying again");
                rack.set_stage(Stage::Waiting(setback.to_string()));
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    rack.set_stage(Stage::Seated);
    rack.place.mesh.provide(&rack.place.id.dht_key()).await;
    tracing::info!(rack = %rack.place.id, "seated");
}

async fn round(rack: &Rack) -> Result<(), Setback> {
    let store = open_store(rack).await?;
    let mut identity = load_identity(&store).await?;
    let context = Context::within(ROUND);
    // Whoever has a number may be counted on by the others already, seated or not; but nobody
    // counts on one that never took part, and its log may be filled in part only.
    if let Some(member) = identity.member
        && took_part(&store)?
    {
        let group = open_group(rack, store.clone(), member).await?;
        if identity.seated || is_seated(&group, &context).await {
            identity.seated = true;
            return save_identity(&store, &identity).await;
        }
    }
    let charter = match identity.member {
        None => elsewhere(rack, &[], &context).await.and_then(|status| status.charter),
        Some(_) => None,
    };
    let request = RegisterRack {
        rack: rack.place.id.clone(),
        kind: rack.place.kind,
        incarnation: identity.incarnation,
        // A rack that is there and that the registry forgot is not founded again.
        charter,
    };
    let info = rack.place.orks.call(&context, request).await?;
    let me = rack.place.mesh.peer_id();
    if info.founder == me && info.incarnation == identity.incarnation && charter.is_none() {
        found(rack, &store, identity, &info, &context).await
    } else if identity.member == Some(FOUNDER) {
        // Another node was given this rack's founding while this one was away. Its own was never
        // confirmed, so nothing was acknowledged here.
        let founder = info.founder.short();
        tracing::warn!(rack = %rack.place.id, founder, "another node founded it; joining");
        if let Ok(group) = rack.group() {
            rack.set_group(None);
            group.stop().await;
        }
        let (disk, name) = (rack.place.store.clone(), GroupName::rack(&rack.place.id));
        blocking(move || disk.wipe(&name)).await??;
        Err(Setback::Other("its founding went to another node".into()))
    } else {
        join(rack, &store, identity, &info, &context).await
    }
}

/// Whether the rack's own log says that this member belongs to it: then a crash came between
/// that and the note of it on this disk.
async fn is_seated(group: &Group<Things>, context: &Context) -> bool {
    let votes =
        group.metrics().borrow().membership_config.voter_ids().any(|id| id == group.member());
    if votes && group.member() == FOUNDER {
        // A founder is alone: its log is applied once it leads.
        return lead(group, context).await.is_ok()
            && group.confirm().await.is_ok()
            && group.read(|shown| shown.view.confirmed());
    }
    group.read(|shown| shown.membership.membership().get_node(&group.member()).is_some())
}

async fn found(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    mut identity: Identity,
    info: &RackInfo,
    context: &Context,
) -> Result<(), Setback> {
    let me = rack.place.mesh.peer_id();
    identity.member = Some(FOUNDER);
    save_identity(store, &identity).await?;
    let group = open_group(rack, store.clone(), FOUNDER).await?;
    let incarnation = identity.incarnation;
    group.begin(Seat { peer: me, incarnation }).await?;
    lead(&group, context).await?;

    let (id, kind, number) = (info.id.clone(), info.kind, info.number);
    propose(
        &group,
        context,
        Action::FoundRack { rack: id.clone(), kind, number, founding: incarnation },
    )
    .await?;
    propose(&group, context, Action::AdmitMember { peer: me, incarnation }).await?;
    let confirm = ConfirmRack { rack: id.clone(), incarnation };
    rack.place.orks.call(context, confirm).await?;
    propose(&group, context, Action::ConfirmRack { rack: id, founder: me, incarnation }).await?;

    identity.seated = true;
    save_identity(store, &identity).await?;
    tracing::info!(rack = %rack.place.id, number, "founded");
    Ok(())
}

async fn join(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    mut identity: Identity,
    info: &RackInfo,
    context: &Context,
) -> Result<(), Setback> {
    let leader = find_leader(rack, info, context).await?;
    let mesh = &rack.place.mesh;
    let (id, incarnation) = (rack.place.id.clone(), identity.incarnation);
    let of = GroupId::Rack(id);
    let admit = AdmitMember { group: of.clone(), incarnation };
    let member = mesh.call(leader, context, admit).await?;
    identity.member = Some(member);
    save_identity(store, &identity).await?;
    if rack.group().is_err() {
        fill(rack, store, member, &[leader]).await?;
        rack.set_stage(Stage::Waiting("applying its log".into()));
    }
    open_group(rack, store.clone(), member).await?;
    rack.fills.end();
    // Filling may have taken long, and the rack may have another leader now.
    let context = &Context::within(ROUND);
    let leader = find_leader(rack, info, context).await.unwrap_or(leader);
    mesh.call(leader, context, SeatMember { group: of, member, incarnation }).await?;
    identity.seated = true;
    save_identity(store, &identity).await?;
    tracing::info!(rack = %rack.place.id, member, leader = %leader.short(), "joined");
    Ok(())
}

/// Asks everyone who may hold the rack who leads it.
async fn find_leader(rack: &Rack, info: &RackInfo, context: &Context) -> Result<PeerId, Setback> {
    let mut contacts = routed(rack, context).await;
    contacts.push(info.founder);
    let status = elsewhere(rack, &contacts, context).await;
    let leader = status.and_then(|status| status.leader);
    leader.ok_or_else(|| Setback::Other("no member that can be reached knows its leader".into()))
}

/// How a member on another node stands, one that knows its leader first: those the DHT names,
/// and these. All are asked at once.
async fn elsewhere(rack: &Rack, contacts: &[PeerId], context: &Context) -> Option<MemberStatus> {
    let mesh = &rack.place.mesh;
    let mut contacts: BTreeSet<_> = contacts.iter().copied().collect();
    contacts.extend(mesh.providers(&rack.place.id.dht_key(), context).await);
    contacts.remove(&mesh.peer_id());
    let deadline = context.deadline.min(Instant::now() + CONTACT);
    let context = Context { deadline, ..context.clone() };
    let asked = contacts.into_iter().map(|contact| {
        let request = GetMember { rack: rack.place.id.clone() };
        mesh.call(contact, &context, request)
    });
    let statuses = futures::future::join_all(asked).await.into_iter().flatten();
    statuses.max_by_key(|status| (status.leader.is_some(), status.term))
}

/// Who holds the rack, by the orchestrator's routes.
async fn routed(rack: &Rack, context: &Context) -> Vec<PeerId> {
    let Some(ork) = rack.place.orks.current() else { return Vec::new() };
    let Ok(mut routes) = rack.place.mesh.stream(ork, context, WatchRoutes).await else {
        return Vec::new();
    };
    let first = tokio::time::timeout(context.remaining(), routes.next()).await;
    let Ok(Some(Ok(table))) = first else { return Vec::new() };
    let route = table.racks.into_iter().find(|route| route.id == rack.place.id);
    route.map_or_else(Vec::new, |route| route.leader.into_iter().chain(route.members).collect())
}

async fn lead(group: &Group<Things>, context: &Context) -> Result<(), Setback> {
    let mut metrics = group.metrics();
    let led = metrics.wait_for(|metrics| metrics.current_leader == Some(metrics.id));
    match tokio::time::timeout(context.remaining(), led).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Setback::Other("the new group has no leader yet".into())),
    }
}

async fn propose(group: &Group<Things>, context: &Context, action: Action) -> Result<(), Setback> {
    let request_id: RequestId = context.request_id.clone();
    group.propose(Command { key: None, request_id, action }).await?;
    Ok(())
}

async fn open_group(
    rack: &Rack,
    store: bookmesh_storage::Group,
    member: MemberId,
) -> Result<Arc<Group<Things>>, Setback> {
    let _turn = rack.turn.acquire().await.map_err(ApiError::internal)?;
    if let Ok(group) = rack.group()
        && group.member() == member
    {
        return Ok(group);
    }
    let recovery = recovery::carry_out(&store).await?;
    let disk = store.clone();
    let config = GroupConfig {
        mesh: rack.place.mesh.clone(),
        name: GroupId::Rack(rack.place.id.clone()),
        store,
        member,
        voters: rack.place.replicas,
    };
    let group = Group::open(config).await?;
    if let Some(recovery) = recovery
        && let Err(error) = recover::finish(&group, &disk, &recovery).await
    {
        group.stop().await;
        return Err(error.into());
    }
    rack.set_group(Some(group.clone()));
    Ok(group)
}

/// Opens the member that stands on disk.
pub(super) async fn reopen(rack: &Rack, member: MemberId) -> Result<(), Setback> {
    let store = open_store(rack).await?;
    open_group(rack, store, member).await?;
    rack.set_stage(Stage::Seated);
    Ok(())
}

async fn open_store(rack: &Rack) -> Result<bookmesh_storage::Group, Setback> {
    let (store, name) = (rack.place.store.clone(), GroupName::rack(&rack.place.id));
    Ok(blocking(move || store.group(&name)).await??)
}

async fn load_identity(store: &bookmesh_storage::Group) -> Result<Identity, Setback> {
    if let Some(bytes) = store.get(MetaKey::Member)? {
        return codec::decode(&bytes)
            .map_err(|error| Setback::Other(format!("the member's identity: {error}")));
    }
    let incarnation = Incarnation::generate();
    let identity = Identity { incarnation, member: None, seated: false };
    save_identity(store, &identity).await?;
    Ok(identity)
}

async fn save_identity(
    store: &bookmesh_storage::Group,
    identity: &Identity,
) -> Result<(), Setback> {
    let value = codec::encode(identity).map_err(ApiError::internal)?.into();
    let store = store.clone();
    Ok(blocking(move || store.put_blocking(MetaKey::Member, value)).await??)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Setback> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Setback::Other("the runtime is stopping".into()))
}
