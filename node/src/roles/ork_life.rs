//! An orchestrator's life: it finds the registry or begins it with others, is kept going, leaves.
//!
//! ```text
//!   on disk: a member of the registry ──────────────► seated ◄─────────────┐
//!   not yet, or no more:                                │ tended: is it    │
//!     ask all orchestrators how they stand              │ still a member?  │
//!       │ one is a member of a registry                 └── no ──► look ───┤
//!       │   get a number, open a replica, be seated ───────────────────────┤
//!       │ none is, enough of them are there, and this one is the first     │
//!       │   begin the group as member 1, write what began it ──────────────┘
//!       │ else
//!       └── wait, and ask again
//! ```
//!
//! Each step can be repeated, and what was decided is on disk before it is acted upon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, AdmitMember, Applied, GetRegistry, GroupId, Incarnation, MemberId, MemberState,
    RegistryStatus, SeatMember, Settings,
};
use bookmesh_rpc::mesh::Context;
use bookmesh_rpc::orks::{ATTEMPT, to_leader};
use bookmesh_rpc::reliability::Backoff;
use bookmesh_storage::view::Registry;
use bookmesh_storage::{GroupName, Store};

use super::ork::{Ork, OrkStage};
use super::ork_identity::{OrkIdentity, Step};
use super::rack_life::blocking;
use super::registrar::propose;
use super::registries::{Looked, Move, advice, decide, same_registry};
use super::setback::Setback;
use crate::consensus::membership::{Aims, leader_in};
use crate::consensus::types::Seat;
use crate::consensus::{Group, GroupConfig};

/// The number that the registry's beginner has; the others get theirs from its log.
const BEGINNER: MemberId = 1;
/// How long one round of beginning or joining may take before it starts again.
const ROUND: Duration = Duration::from_secs(10);
/// How long orchestrators may take to say how they stand.
const CONTACT: Duration = Duration::from_secs(1);
/// How long one that is to begin alone looks for a registry that is there already.
const LOOK_FIRST: Duration = Duration::from_secs(2);
/// Between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at the others, by one that is seated; short until it has caught up.
const TEND: Duration = Duration::from_secs(2);
const TEND_FIRST: Duration = Duration::from_millis(100);

/// What an orchestrator says whose data were lost, when nobody else has them.
const LOST: &str = "its data were damaged and set aside, and no other orchestrator has the \
    registry: start one that has it, or this one in an empty data directory, where it takes the \
    racks over from their workers";

/// What an orchestrator is told.
#[derive(Clone, Copy, Debug)]
pub struct OrkConfig {
    /// How many orchestrators form the registry: 1, 3 or 5.
    pub replicas: usize,
    /// How long a voter may be silent before another takes its place.
    pub replace_after: Duration,
    /// How long one whose registry is empty listens for racks that exist before it gives numbers.
    pub adopt_for: Duration,
    /// It was told of no other node, so there is nobody to look for before it begins alone.
    pub first: bool,
}

/// An orchestrator on its way.
pub(super) struct OrkLife {
    ork: Arc<Ork>,
    store: Store,
    config: OrkConfig,
    aims: Arc<Aims>,
}

impl OrkLife {
    pub(super) fn new(ork: Arc<Ork>, store: Store, config: OrkConfig) -> Self {
        let aims = Arc::new(Aims::new(config.replicas, config.replace_after));
        Self { ork, store, config, aims }
    }

    /// Brings the orchestrator to its seat and keeps it there, until the task is ended.
    pub(super) async fn run(self) {
        let mut pauses = Backoff::new(PAUSE, LONGEST_PAUSE);
        let mut search = Search { began: Instant::now(), ready_before: false };
        loop {
            let setback = match Box::pin(self.round(&mut search)).await {
                Ok(()) => {
                    let seated = Instant::now();
                    self.ork.set_stage(OrkStage::Seated);
                    tracing::info!("a member of the registry");
                    let setback = Box::pin(self.tend()).await;
                    // One that fails again and again rests longer each time.
                    if seated.elapsed() >= ROUND {
                        pauses.reset();
                    }
                    setback
                }
                Err(setback) => setback,
            };
            self.ork.set_current(None);
            if setback.is_damage() {
                self.close().await;
                tracing::error!(%setback, "the registry's log is of no use here");
                self.ork.set_stage(OrkStage::Failed(setback.to_string()));
                match Box::pin(self.rebuild()).await {
                    Ok(()) => tracing::warn!("wiped, to be filled anew"),
                    Err(error) => tracing::warn!(%error, "kept as it is"),
                }
            } else {
                let waits = OrkStage::Waiting(setback.to_string());
                if self.ork.stage() != waits {
                    tracing::info!(%setback, "no member of the registry yet");
                    self.ork.set_stage(waits);
                }
            }
            tokio::time::sleep(pauses.wait()).await;
        }
    }

    async fn round(&self, search: &mut Search) -> Result<(), Setback> {
        let log = self.open_log().await?;
        let mut identity = OrkIdentity::load(&log).await?;
        self.ork.set_identity(identity.incarnation, identity.founding);
        let context = Context::within(ROUND);
        // Whoever has a number may be counted on by the others already, seated or not.
        if let Some(member) = identity.member {
            self.open_group(&log, member).await?;
            if identity.step == Step::Seated {
                return Ok(());
            }
        }
        let empty = log.last_index().is_none();
        let began_here = identity.founding == Some(identity.incarnation);
        if began_here && !empty && identity.step == Step::Begun {
            return self.begin(&log, identity, &context).await;
        }
        let alone = self.config.first && self.ork.wanted == 1 && identity.member.is_none();
        let seen = if alone { Vec::new() } else { self.look(true).await };
        let looked = Looked {
            me: self.ork.mesh.peer_id(),
            wanted: self.ork.wanted,
            founding: identity.founding.filter(|_| !empty),
            long_enough: alone || search.began.elapsed() >= LOOK_FIRST,
            seen: &seen,
        };
        let next = decide(&looked);
        let twice = std::mem::replace(&mut search.ready_before, next == Move::Begin);
        match next {
            Move::Wait(why) => Err(Setback::Other(why)),
            Move::Join(founding) => {
                if identity.founding.is_some_and(|known| known != founding) {
                    self.begin_anew().await?;
                    return Err(Setback::Other("what was begun here came to nothing".into()));
                }
                self.join(&log, identity, founding, &seen, &context).await
            }
            Move::Begin if self.store.must_join().contains(&GroupName::registry()) => {
                Err(Setback::Other(LOST.into()))
            }
            // Of several, each has to see the others as they are now.
            Move::Begin if self.ork.wanted > 1 && !twice => {
                Err(Setback::Other("about to begin the registry".into()))
            }
            Move::Begin => {
                self.close().await;
                identity.member = Some(BEGINNER);
                identity.founding = Some(identity.incarnation);
                self.begin(&log, identity, &context).await
            }
        }
    }

    /// Begins the registry, or goes on with that after a crash.
    async fn begin(
        &self,
        log: &bookmesh_storage::Group,
        mut identity: OrkIdentity,
        context: &Context,
    ) -> Result<(), Setback> {
        let (peer, founding) = (self.ork.mesh.peer_id(), identity.incarnation);
        identity.save(log).await?;
        self.ork.set_identity(identity.incarnation, identity.founding);
        let group = self.open_group(log, BEGINNER).await?;
        group.begin(Seat { peer, incarnation: founding }).await?;
        let mut metrics = group.metrics();
        let led = metrics.wait_for(|metrics| metrics.current_leader == Some(metrics.id));
        if !matches!(tokio::time::timeout(context.remaining(), led).await, Ok(Ok(_))) {
            return Err(Setback::Other("the new registry has no leader yet".into()));
        }
        let admit = Action::AdmitMember { peer, incarnation: founding };
        let number = propose(&group, &context.request_id, admit).await?;
        if number != Applied::Member(BEGINNER) {
            return Err(Setback::Other(format!("the beginner was given {number:?}")));
        }
        let begin = Action::BeginRegistry { founding };
        propose(&group, &context.request_id, begin).await?;
        identity.step = Step::Seated;
        identity.save(log).await?;
        tracing::info!(registry = %founding, "begun");
        Ok(())
    }

    /// Joins a registry that has begun, or takes its seat in it again.
    async fn join(
        &self,
        log: &bookmesh_storage::Group,
        mut identity: OrkIdentity,
        founding: Incarnation,
        seen: &[(PeerId, RegistryStatus)],
        context: &Context,
    ) -> Result<(), Setback> {
        let (mesh, incarnation) = (&self.ork.mesh, identity.incarnation);
        let members = same_registry(seen, founding);
        let admit = AdmitMember { group: GroupId::Registry, incarnation };
        let (leader, member) = to_leader(mesh, members, ATTEMPT, context, admit).await?;
        if identity.member.is_some_and(|had| had != member) {
            // The registry does not know of these data.
            return Err(Setback::Foreign);
        }
        (identity.member, identity.founding) = (Some(member), Some(founding));
        identity.save(log).await?;
        self.ork.set_identity(incarnation, Some(founding));
        self.open_group(log, member).await?;
        let seat = SeatMember { group: GroupId::Registry, member, incarnation };
        let (leader, ()) = to_leader(mesh, [leader], ATTEMPT, context, seat).await?;
        identity.step = Step::Seated;
        identity.save(log).await?;
        let store = self.store.clone();
        blocking(move || store.joined(&GroupName::registry())).await??;
        tracing::info!(registry = %founding, member, leader = %leader.short(), "joined");
        Ok(())
    }

    /// Looks after a seated member; returns why it can't go on as it is.
    async fn tend(&self) -> Setback {
        let Ok(group) = self.ork.group() else { return Setback::Other("it has ended".into()) };
        tokio::select! {
            () = self.follow(&group) => Setback::Other("it has ended".into()),
            setback = self.watch(&group) => setback,
        }
    }

    /// Keeps the routes to what the registry says.
    async fn follow(&self, group: &Group<Registry>) {
        let mut applied = group.applied();
        loop {
            self.ork.refresh();
            let settings = group.read(|shown| shown.view.settings());
            // How many voters the registry has is not the racks' setting.
            self.aims.follow(&Settings { rack_replicas: None, ..settings });
            if applied.changed().await.is_err() {
                return;
            }
        }
    }

    async fn watch(&self, group: &Group<Registry>) -> Setback {
        let mut metrics = group.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow().running_state {
                let why = fatal.to_string();
                return Setback::Other(format!("its member has failed ({why})"));
            }
            let current = self.ork.current().borrow().is_some();
            let leads = leader_in(&metrics.borrow()) == Some(self.ork.mesh.peer_id());
            // One that leads alone need not ask anybody before it says so.
            if leads && !current && group.confirm().await.is_ok() {
                self.caught_up(group);
                continue;
            }
            let seen = self.look(false).await;
            self.compare(group, &seen);
            if let Some(setback) = self.missed(group, &seen).await {
                return setback;
            }
            let pause = if current { TEND } else { TEND_FIRST };
            // A change of leader or of the log before it has caught up is worth a look.
            let news = async {
                if metrics.changed().await.is_err() || current {
                    std::future::pending::<()>().await;
                }
            };
            // Running out of time is the usual end of this wait.
            let _ = tokio::time::timeout(pause, news).await;
        }
    }

    /// The others' word on this registry and on others.
    fn compare(&self, group: &Group<Registry>, seen: &[(PeerId, RegistryStatus)]) {
        let Some(own) = self.ork.registry().member else { return };
        let members =
            || seen.iter().filter_map(|(peer, status)| Some((peer, status.member.as_ref()?)));
        let rival = members().find(|(_, member)| member.founding != own.founding);
        let known = self.ork.rival();
        self.ork.set_rival(rival.map(|(_, member)| member.founding));
        if let Some((peer, member)) = rival.filter(|(_, member)| known != Some(member.founding)) {
            tracing::error!(
                orchestrator = %peer.short(), theirs = %member.founding, ours = %own.founding,
                "there are two registries in this mesh, which began apart: no rack is registered \
                 until one of them is stopped; start its orchestrators again with empty data"
            );
        }
        let ours = members().filter(|(_, member)| member.founding == own.founding);
        let leads = |state| state == MemberState::Leader;
        if let Some((_, leader)) = ours.into_iter().find(|(_, member)| leads(member.state))
            && group.read(|shown| shown.applied.map_or(0, |id| id.index)) >= leader.applied_index
        {
            self.caught_up(group);
        }
        self.ork.set_notice(advice(self.ork.wanted, &own, seen));
    }

    /// From now on it shows routes and, if it leads, gives numbers.
    fn caught_up(&self, group: &Group<Registry>) {
        if self.ork.current().borrow().is_none() {
            let empty = group.read(|shown| shown.view.list().len() == 0);
            let wait = if empty { self.config.adopt_for } else { Duration::ZERO };
            self.ork.refresh();
            self.ork.set_current(Some(Instant::now() + wait));
        }
    }

    /// Whether the leader does not have this one among its members, and why that is so.
    async fn missed(
        &self,
        group: &Group<Registry>,
        seen: &[(PeerId, RegistryStatus)],
    ) -> Option<Setback> {
        let own = self.ork.registry().member?;
        let leader =
            seen.iter().filter_map(|(_, status)| status.member.as_ref()).find(|member| {
                member.founding == own.founding
                    && member.state == MemberState::Leader
                    && member.term >= own.term
            })?;
        if leader.members.iter().any(|member| member.member == group.member()) {
            return None;
        }
        match Box::pin(self.unseated()).await {
            Ok(()) => Some(Setback::Other("it is no member any more".into())),
            Err(setback) => Some(setback),
        }
    }

    /// Notes that it has to be seated again.
    async fn unseated(&self) -> Result<(), Setback> {
        let log = self.open_log().await?;
        let mut identity = OrkIdentity::load(&log).await?;
        identity.step = Step::Left;
        identity.save(&log).await
    }

    /// Asks all orchestrators that are known how they stand, at once; those that the DHT names as
    /// well if `afresh`.
    async fn look(&self, afresh: bool) -> Vec<(PeerId, RegistryStatus)> {
        let ork = &self.ork;
        if afresh {
            ork.orks.look(&Context::within(CONTACT)).await;
        }
        let context = Context::within(CONTACT);
        let asked = ork.others().into_iter().map(|other| {
            let context = &context;
            async move { Some((other, ork.mesh.call(other, context, GetRegistry).await.ok()?)) }
        });
        futures::future::join_all(asked).await.into_iter().flatten().collect()
    }

    /// A log that is damaged is filled anew from the others, if there is one registry that is led.
    async fn rebuild(&self) -> Result<(), Setback> {
        let seen = self.look(true).await;
        let members = seen.iter().filter_map(|(_, status)| status.member.as_ref());
        let led: Vec<_> = members.filter(|member| member.leader.is_some()).collect();
        let one = led.windows(2).all(|pair| pair[0].founding == pair[1].founding);
        if led.is_empty() || !one {
            return Err(Setback::Other("no other orchestrator has a registry that is led".into()));
        }
        self.close().await;
        let store = self.store.clone();
        Ok(blocking(move || store.rebuild(&GroupName::registry())).await??)
    }

    /// Wipes what is here: it was never a member.
    async fn begin_anew(&self) -> Result<(), Setback> {
        self.close().await;
        let store = self.store.clone();
        Ok(blocking(move || store.wipe(&GroupName::registry())).await??)
    }

    async fn open_log(&self) -> Result<bookmesh_storage::Group, Setback> {
        let store = self.store.clone();
        Ok(blocking(move || store.group(&GroupName::registry())).await??)
    }

    async fn open_group(
        &self,
        log: &bookmesh_storage::Group,
        member: MemberId,
    ) -> Result<Arc<Group<Registry>>, Setback> {
        if let Ok(group) = self.ork.group() {
            if group.member() == member && group.metrics().borrow().running_state.is_ok() {
                return Ok(group);
            }
            self.close().await;
        }
        let config = GroupConfig {
            mesh: self.ork.mesh.clone(),
            name: GroupId::Registry,
            store: log.clone(),
            member,
            aims: self.aims.clone(),
        };
        let group = Group::open(config).await?;
        self.ork.set_group(Some(group.clone()));
        Ok(group)
    }

    async fn close(&self) {
        if let Ok(group) = self.ork.group() {
            self.ork.set_group(None);
            group.stop().await;
        }
    }
}

/// What is remembered from one round to the next.
struct Search {
    began: Instant,
    /// The last look found this one to be the beginner.
    ready_before: bool,
}
