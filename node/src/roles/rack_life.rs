//! A rack's life on a worker: founded or joined, kept going, left.
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
//!              └────────► seated ◄──┘◄─────────────────────────────┐
//!                           │ tended: is it still a member,        │
//!                           │ does its log still hold?             │
//!                           ├── no member any more ────────────────┤
//!                           ├── its log is damaged: wiped once     │
//!                           │   another member leads, filled anew ─┘
//!                           └── the worker stops: taken out of the membership
//! ```
//!
//! Each step can be repeated; what was decided is on disk before it is acted upon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    ApiError, Charter, FieldError, GroupId, Kind, MemberId, MemberState, MemberStatus, RackInfo,
    RegisterRack, Unseated,
};
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_storage::view::Things;
use bookmesh_storage::{GroupName, StoreError};

use super::founding::{FOUNDER, found, was_confirmed};
use super::identity::{Identity, Step};
use super::joining::{elsewhere, join};
use super::rack::{Rack, Stage, Verdict};
use super::recover;
use super::setback::Setback;
use crate::consensus::filling::took_part;
use crate::consensus::recovery;
use crate::consensus::types::Seat;
use crate::consensus::{Group, GroupConfig};

/// How long one round of founding or joining may take before it starts again.
pub(super) const ROUND: Duration = Duration::from_secs(10);
/// How long the registry may take to answer for a rack that is there anyway.
const REGISTRY: Duration = Duration::from_secs(1);
/// The pause before the next round, doubled each time up to the last.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a seated member is looked at.
const TEND: Duration = Duration::from_millis(500);
/// How long a member may hear from no leader before others are asked how it stands.
const UNLED: Duration = Duration::from_secs(2);

/// What a rack says that was lost here, and that nobody else has.
const LOST: &str = "its data were damaged here and set aside, and no other member answers: start \
    one that has them";

/// Brings the rack to its seat and keeps it there, until it is retired or the task is ended.
pub async fn run(rack: Arc<Rack>) {
    let mut pause = PAUSE;
    loop {
        let setback = match Box::pin(round(&rack)).await {
            Ok(()) => {
                rack.set_stage(Stage::Seated);
                rack.place.mesh.provide(&rack.place.id.dht_key()).await;
                tracing::info!(rack = %rack.place.id, "seated");
                pause = PAUSE;
                match Box::pin(tend(&rack)).await {
                    Unwell::Retired => return retire(&rack).await,
                    Unwell::OtherKind => return give_up(&rack).await,
                    Unwell::Unseated => Setback::Other("it is no member any more".into()),
                    Unwell::Superseded => Setback::Superseded,
                    Unwell::Damaged(damage) => Setback::Store(damage),
                    Unwell::Failed(why) => {
                        close(&rack).await;
                        Setback::Other(format!("its member has failed ({why})"))
                    }
                }
            }
            Err(Setback::Api(ApiError::RackRetired { .. })) => return retire(&rack).await,
            Err(Setback::OtherKind(_)) => return give_up(&rack).await,
            Err(setback) => setback,
        };
        if setback.is_damage() {
            close(&rack).await;
            tracing::error!(rack = %rack.place.id, %setback, "its log is of no use");
            rack.set_stage(Stage::Failed(setback.to_string()));
            match rebuild(&rack, &setback).await {
                Ok(()) => tracing::warn!(rack = %rack.place.id, "wiped, to be filled anew"),
                Err(error) => tracing::warn!(rack = %rack.place.id, %error, "kept as it is"),
            }
        } else {
            tracing::info!(rack = %rack.place.id, %setback, "not seated, trying again");
            rack.set_stage(Stage::Waiting(setback.to_string()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn round(rack: &Rack) -> Result<(), Setback> {
    let store = open_store(rack).await?;
    let mut identity = Identity::load(&store).await?;
    let context = Context::within(ROUND);
    // Whoever has a number may be counted on by the others already, seated or not; but nobody
    // counts on one that never took part, and its log may be filled in part only.
    if let Some(member) = identity.member
        && took_part(&store)?
    {
        let group = open_group(rack, store.clone(), member).await?;
        is_ours(rack, own_kind(&group))?;
        if identity.step == Step::Seated && !rack.is_unseated() {
            return Ok(());
        }
        if identity.step == Step::Begun && is_seated(&group, &context).await {
            identity.step = Step::Seated;
            return identity.save(&store).await;
        }
    }
    let there = elsewhere(rack, &[], &context).await.filter(|status| status.charter.is_some());
    is_ours(rack, there.as_ref().map(|status| status.kind))?;
    let charter = there.and_then(|status| status.charter);
    if charter.is_none() && must_join(rack)? {
        return Err(Setback::Other(LOST.into()));
    }
    if let (Some(ours), Some(theirs)) = (rack.charter(), charter)
        && is_superseded(ours, theirs)
    {
        return Err(Setback::Superseded);
    }
    let info = match registered(rack, &identity, charter, &context).await {
        Ok(info) => info,
        Err(CallError::Api(ApiError::Invalid(faults))) if faults.iter().any(is_of_kind) => {
            return Err(Setback::OtherKind(rack.place.kind));
        }
        // The rack itself is there: the registry has nothing to add that it would need.
        Err(_) if charter.is_some() => {
            return rejoin(rack, &store, identity, &[], &context).await;
        }
        Err(CallError::Api(error)) => return Err(error.into()),
        Err(error) => return Err(Setback::Other(format!("the registry is silent: {error}"))),
    };
    if info.retired {
        return Err(ApiError::RackRetired { rack: info.id }.into());
    }
    let me = rack.place.mesh.peer_id();
    let founder = info.founder == me && info.incarnation == identity.incarnation;
    if identity.step == Step::Begun && charter.is_none() {
        if founder {
            return found(rack, &store, identity, &info, &context).await;
        }
        if identity.member == Some(FOUNDER) && !is_confirmed(rack) {
            // Another node was given this rack's founding while this one was away. Its own was
            // never confirmed, so nothing was acknowledged here.
            let founder = info.founder.short();
            tracing::warn!(rack = %rack.place.id, founder, "another node founded it; joining");
            close(rack).await;
            wipe(rack).await?;
            return Err(Setback::Other("its founding went to another node".into()));
        }
    }
    rejoin(rack, &store, identity, &[info.founder], &context).await
}

/// Whether it is the kind of rack that this worker was started for, as far as that is known.
fn is_ours(rack: &Rack, kind: Option<Kind>) -> Result<(), Setback> {
    match kind.filter(|kind| *kind != rack.place.kind) {
        None => Ok(()),
        Some(_) => Err(Setback::OtherKind(rack.place.kind)),
    }
}

fn own_kind(group: &Group<Things>) -> Option<Kind> {
    group.read(|shown| shown.view.kind())
}

/// The registry has the rack as one of another kind.
fn is_of_kind(fault: &FieldError) -> bool {
    fault.field == "type"
}

/// Asks the registry for the rack. One that is there already needs no answer: then the wait for
/// it is short.
async fn registered(
    rack: &Rack,
    identity: &Identity,
    charter: Option<Charter>,
    context: &Context,
) -> Result<RackInfo, CallError> {
    let within = if charter.is_some() { REGISTRY } else { context.remaining() };
    let context = Context { deadline: Instant::now() + within, ..context.clone() };
    let request = RegisterRack {
        rack: rack.place.id.clone(),
        kind: rack.place.kind,
        incarnation: identity.incarnation,
        // A rack that is there and that the registry forgot is not founded again.
        charter,
    };
    rack.place.orks.call(&context, request).await
}

async fn rejoin(
    rack: &Rack,
    store: &bookmesh_storage::Group,
    identity: Identity,
    contacts: &[PeerId],
    context: &Context,
) -> Result<(), Setback> {
    join(rack, store, identity, contacts, context).await?;
    rack.set_unseated(false);
    let (disk, name) = (rack.place.disk.clone(), GroupName::rack(&rack.place.id));
    Ok(blocking(move || disk.store()?.joined(&name)).await??)
}

/// Whether this disk had the rack and lost it: then it must never be founded from here again.
fn must_join(rack: &Rack) -> Result<bool, StoreError> {
    Ok(rack.place.disk.store()?.must_join().contains(&GroupName::rack(&rack.place.id)))
}

fn is_confirmed(rack: &Rack) -> bool {
    rack.group().is_ok_and(|group| group.read(|shown| shown.view.confirmed()))
}

/// Whether the rack's own log says that this member belongs to it: then a crash came between
/// that and the note of it on this disk.
async fn is_seated(group: &Group<Things>, context: &Context) -> bool {
    let alone = group.metrics().borrow().membership_config.voter_ids().eq([group.member()]);
    if alone && group.member() == FOUNDER {
        return was_confirmed(group, context).await;
    }
    group.seat_of(group.member()).is_some()
}

/// Why a seated member has to be seen to.
#[derive(Debug)]
enum Unwell {
    /// Its log or its disk has failed.
    Failed(String),
    /// Its log is not what was written.
    Damaged(StoreError),
    /// The others took it out of the membership.
    Unseated,
    /// The rack was recovered without it.
    Superseded,
    /// The rack is out of use.
    Retired,
    /// It is none of those that this worker was started for.
    OtherKind,
}

/// Looks after a seated member; returns when something has to be done.
async fn tend(rack: &Rack) -> Unwell {
    let mut asked = Instant::now();
    loop {
        tokio::time::sleep(TEND).await;
        match rack.verdict() {
            Verdict::Retired => return Unwell::Retired,
            verdict @ Verdict::Superseded(_) if rack.is_condemned_by(verdict) => {
                return Unwell::Superseded;
            }
            Verdict::Counts | Verdict::Superseded(_) => {}
        }
        if let Some(damage) = rack.take_damage() {
            return Unwell::Damaged(damage);
        }
        let Ok(group) = rack.group() else { return Unwell::Failed("it has ended".into()) };
        if is_ours(rack, own_kind(&group)).is_err() {
            return Unwell::OtherKind;
        }
        let metrics = group.metrics();
        if let Err(fatal) = &metrics.borrow().running_state {
            return Unwell::Failed(fatal.to_string());
        }
        // After a panic nobody is left to say so.
        if metrics.has_changed().is_err() {
            return Unwell::Failed("its consensus ended without a word".into());
        }
        let well = group.is_led(UNLED) && group.seat_of(group.member()).is_some();
        if well || asked.elapsed() < UNLED {
            continue;
        }
        asked = Instant::now();
        let Some(others) = elsewhere(rack, &[], &Context::within(UNLED)).await else { continue };
        let Ok(own) = rack.status() else { continue };
        if let Some(unwell) = compare(&own, &others) {
            rack.set_unseated(matches!(unwell, Unwell::Unseated));
            return unwell;
        }
    }
}

/// How this member stands by what a leader elsewhere says.
fn compare(own: &MemberStatus, leader: &MemberStatus) -> Option<Unwell> {
    if leader.state != MemberState::Leader {
        return None;
    }
    if let (Some(ours), Some(theirs)) = (own.charter, leader.charter)
        && is_superseded(ours, theirs)
    {
        return Some(Unwell::Superseded);
    }
    let seated = leader.members.iter().any(|member| member.member == own.member);
    (!seated && leader.term >= own.term).then_some(Unwell::Unseated)
}

/// Whether the rack was recovered without these data: they may have what it gave up.
pub(super) fn is_superseded(ours: Charter, theirs: Charter) -> bool {
    let (ours, theirs) = (ours.lineage, theirs.lineage);
    ours.founding == theirs.founding && ours.recoveries < theirs.recoveries
}

/// Takes this member out of the membership, since the worker is about to stop. What it has on
/// disk stays, and is what it begins with when it comes back.
pub async fn leave(rack: &Rack, within: Duration) {
    if rack.stage() != Stage::Seated {
        return;
    }
    let Ok(group) = rack.group() else { return };
    if let Err(error) = try_leave(rack, &group, within).await {
        tracing::warn!(rack = %rack.place.id, %error, "stopping without having left");
    }
}

async fn try_leave(rack: &Rack, group: &Group<Things>, within: Duration) -> Result<(), Setback> {
    let store = open_store(rack).await?;
    let mut identity = Identity::load(&store).await?;
    let seat = Seat { peer: rack.place.mesh.peer_id(), incarnation: identity.incarnation };
    match group.leave(&seat, within).await? {
        Unseated::Left => {
            identity.step = Step::Left;
            identity.save(&store).await?;
            rack.set_unseated(true);
            tracing::info!(rack = %rack.place.id, "left");
        }
        Unseated::Needed => tracing::info!(rack = %rack.place.id, "stays its last voter"),
    }
    Ok(())
}

/// Wipes what is here, once a leader elsewhere can fill it again; without one it is all there is.
async fn rebuild(rack: &Rack, because: &Setback) -> Result<(), Setback> {
    let context = Context::within(ROUND);
    let others = elsewhere(rack, &[], &context).await;
    let leader = others.filter(|others| others.state == MemberState::Leader);
    let Some(theirs) = leader.and_then(|leader| leader.charter) else {
        let why = "no other member leads the rack now, so nothing could fill this one again";
        return Err(Setback::Other(why.into()));
    };
    if rack.charter().is_some_and(|own| own.lineage.founding != theirs.lineage.founding) {
        let why = "another rack bears this name; give one of the two another, or remove one";
        return Err(Setback::Other(why.into()));
    }
    // Members that are all told so would otherwise wipe themselves one after the other.
    if matches!(because, Setback::Superseded)
        && rack.charter().is_some_and(|own| !is_superseded(own, theirs))
    {
        let why = "no member answers that has the history which counts";
        return Err(Setback::Other(why.into()));
    }
    let (disk, name) = (rack.place.disk.clone(), GroupName::rack(&rack.place.id));
    blocking(move || disk.store()?.rebuild(&name)).await??;
    rack.begin_anew();
    Ok(())
}

async fn retire(rack: &Rack) {
    close(rack).await;
    rack.place.mesh.stop_providing(&rack.place.id.dht_key()).await;
    tracing::warn!(rack = %rack.place.id, "retired; its data stay on disk");
    rack.set_stage(Stage::Retired);
}

/// Holds the rack no more: its name was given to a worker of another kind, and no time helps.
async fn give_up(rack: &Rack) {
    close(rack).await;
    rack.place.mesh.stop_providing(&rack.place.id.dht_key()).await;
    let why = Setback::OtherKind(rack.place.kind).to_string();
    tracing::error!(rack = %rack.place.id, why, "not held");
    rack.set_stage(Stage::Failed(why));
}

/// Stops the member, if one runs.
pub(super) async fn close(rack: &Rack) {
    if let Ok(group) = rack.group() {
        rack.set_group(None);
        group.stop().await;
    }
}

async fn wipe(rack: &Rack) -> Result<(), Setback> {
    let (disk, name) = (rack.place.disk.clone(), GroupName::rack(&rack.place.id));
    Ok(blocking(move || disk.store()?.wipe(&name)).await??)
}

pub(super) async fn open_group(
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
        aims: rack.place.aims.clone(),
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
    let (disk, name) = (rack.place.disk.clone(), GroupName::rack(&rack.place.id));
    Ok(blocking(move || disk.group(&name)).await??)
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Setback> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Setback::Other("the runtime is stopping".into()))
}
