//! One rack on one worker: where it is in its life, and what is asked of its log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{
    Action, AdmitMember, ApiError, Applied, Charter, Command, Kind, LogPage, MemberId, MemberRole,
    MemberStatus, RackId, ReadLog, RequestId, SeatMember, TailLog, UnseatMember, Unseated,
};
use bookmesh_rpc::mesh::ItemSink;
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::{Mesh, PeerId};
use bookmesh_storage::view::Things;
use bookmesh_storage::{Health, StoreError};

use tokio::sync::{Notify, Semaphore};

use super::books::Books;
use super::disk::Disk;
use super::fill::Fills;
use crate::consensus::Group;
use crate::consensus::membership::{Aims, leader_in, members_in, state_in};
use crate::consensus::types::Seat;

/// Records in one answer about the log.
const MAX_LOG_PAGE: u32 = 1_000;

/// Pages of changes that are read from the log at once: each may read much for the little it tells.
const MAX_LOG_READS: usize = 4;
/// How often it is said what a start waits for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// What a rack on this worker needs from the worker.
pub struct Place {
    /// The rack's name.
    pub id: RackId,
    /// What it holds.
    pub kind: Kind,
    /// What its group aims for.
    pub aims: Arc<Aims>,
    /// The mesh.
    pub mesh: Mesh,
    /// The orchestrators.
    pub orks: Arc<Orks>,
    /// The disk.
    pub disk: Disk,
    /// What a rack of orders asks for books.
    pub books: Option<Arc<Books>>,
}

/// One rack on one worker.
pub struct Rack {
    /// What was given to it.
    pub place: Place,
    group: RwLock<Option<Arc<Group<Things>>>>,
    /// When that last changed.
    group_since: RwLock<Instant>,
    stage: RwLock<Stage>,
    verdict: RwLock<Verdict>,
    /// What its log said of the rack when it was last looked at.
    charter: RwLock<Option<Charter>>,
    unseated: AtomicBool,
    damage: RwLock<Option<StoreError>>,
    /// What is filled from here and what is filled here.
    pub(super) fills: Fills,
    /// Held by whoever opens the member, or must not have it opened meanwhile.
    pub(super) turn: Semaphore,
    /// Its stage or its group has changed; the announcer waits for that.
    pub(super) changed: Notify,
    /// Taken by who reads a page of changes.
    pub(super) log_reads: Semaphore,
}

/// Where a rack on this worker is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has no member here yet; the text says what it waits for.
    Waiting(String),
    /// Its group runs here.
    Seated,
    /// It can't go on, and an operator has to look; the text says at what.
    Failed(String),
    /// The rack is out of use.
    Retired,
}

/// What the orchestrators say of the history that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that counts.
    Counts,
    /// Another group bears the rack's name. Said of data with this charter, and not of those that
    /// took their place since.
    Superseded(Charter),
    /// The rack is out of use.
    Retired,
}

impl Verdict {
    /// Whether data that have this charter count no more.
    pub(super) fn is_against(self, charter: Option<Charter>) -> bool {
        matches!(self, Self::Superseded(judged) if charter == Some(judged))
    }
}

impl Rack {
    /// A rack that has done nothing yet.
    pub fn new(place: Place) -> Arc<Self> {
        let stage = RwLock::new(Stage::Waiting("starting".into()));
        Arc::new(Self {
            place,
            group: RwLock::default(),
            group_since: RwLock::new(Instant::now()),
            stage,
            verdict: RwLock::new(Verdict::Counts),
            charter: RwLock::default(),
            unseated: AtomicBool::new(false),
            damage: RwLock::default(),
            fills: Fills::default(),
            turn: Semaphore::new(1),
            changed: Notify::new(),
            log_reads: Semaphore::new(MAX_LOG_READS),
        })
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        self.stage.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        *self.stage.write().unwrap_or_else(PoisonError::into_inner) = stage;
        self.changed.notify_one();
    }

    /// What the orchestrators said last.
    pub(super) fn verdict(&self) -> Verdict {
        *self.verdict.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The orchestrators have looked at what is here.
    pub(super) fn judge(&self, verdict: Verdict) {
        *self.verdict.write().unwrap_or_else(PoisonError::into_inner) = verdict;
    }

    /// Whether a verdict is against what is here now.
    pub(super) fn is_condemned_by(&self, verdict: Verdict) -> bool {
        verdict.is_against(self.status().ok().and_then(|own| own.charter))
    }

    /// Its data were wiped: nothing that was said of them holds any more.
    pub(super) fn begin_anew(&self) {
        self.judge(Verdict::Counts);
        self.set_unseated(false);
        self.take_damage();
        *self.charter.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What its log said of the rack when it was last looked at.
    pub(super) fn charter(&self) -> Option<Charter> {
        *self.charter.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the others took this member out of the membership.
    pub(super) fn is_unseated(&self) -> bool {
        self.unseated.load(Ordering::Relaxed)
    }

    /// Its log is not what was written.
    pub(super) fn set_damage(&self, damage: StoreError) {
        *self.damage.write().unwrap_or_else(PoisonError::into_inner) = Some(damage);
    }

    /// What was found to be damaged, once.
    pub(super) fn take_damage(&self) -> Option<StoreError> {
        self.damage.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn set_unseated(&self, unseated: bool) {
        self.unseated.store(unseated, Ordering::Relaxed);
    }

    pub(super) fn set_group(&self, group: Option<Arc<Group<Things>>>) {
        *self.group.write().unwrap_or_else(PoisonError::into_inner) = group;
        *self.group_since.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.changed.notify_one();
    }

    /// How long it has had no member here, while it has none.
    pub(super) fn memberless(&self) -> Duration {
        self.group_since.read().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// The member on this worker.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] with the stage, before there is one.
    pub fn group(&self) -> Result<Arc<Group<Things>>, ApiError> {
        let group = self.group.read().unwrap_or_else(PoisonError::into_inner).clone();
        group.ok_or_else(|| match self.stage() {
            Stage::Waiting(why) | Stage::Failed(why) => self.unavailable(why),
            Stage::Seated => self.unavailable("its member is stopping"),
            Stage::Retired => ApiError::RackRetired { rack: self.place.id.clone() },
        })
    }

    /// Refuses while the disk is full or has failed: an entry that can't be kept would end the
    /// member.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] with what the disk says.
    pub(super) fn writable(&self) -> Result<(), ApiError> {
        match self.place.disk.health() {
            Health::Healthy => Ok(()),
            Health::Full(why) | Health::Failed(why) => Err(self.unavailable(why)),
        }
    }

    pub(super) fn unavailable(&self, why: impl Into<String>) -> ApiError {
        ApiError::Unavailable { what: self.place.id.to_string(), why: why.into() }
    }

    /// How this member stands.
    ///
    /// # Errors
    /// Before there is one.
    pub fn status(&self) -> Result<MemberStatus, ApiError> {
        let group = match self.group() {
            Ok(group) => group,
            Err(error) => return self.filled().ok_or(error),
        };
        let metrics = group.metrics();
        let metrics = metrics.borrow();
        let shown = group.read(|shown| {
            (
                shown.applied,
                shown.hash,
                shown.view.len() as u64,
                shown.view.charter().filter(|_| shown.view.confirmed()),
                shown.view.kind(),
            )
        });
        let (applied, head_hash, things, charter, kind) = shown;
        if charter.is_some() {
            *self.charter.write().unwrap_or_else(PoisonError::into_inner) = charter;
        }
        let applied_index = applied.map_or(0, |id| id.index);
        Ok(MemberStatus {
            rack: self.place.id.clone(),
            kind: kind.unwrap_or(self.place.kind),
            charter,
            member: group.member(),
            state: state_in(&metrics),
            term: metrics.current_term,
            leader: leader_in(&metrics),
            members: members_in(&metrics),
            last_index: metrics.last_log_index.unwrap_or(0),
            last_term: group.last_term(),
            committed_index: applied_index,
            applied_index,
            head_hash,
            things,
            writable: self.writable().is_ok(),
            blocked_by: self.blocked_by(),
        })
    }

    /// Racks that it needs and does not reach.
    pub(super) fn blocked_by(&self) -> Vec<RackId> {
        self.place.books.as_ref().map_or_else(Vec::new, |books| books.blocked())
    }

    /// Gives a member number to a node's data, or the one it has.
    ///
    /// # Errors
    /// Not the leader, or not founded yet.
    pub async fn admit(
        &self,
        from: PeerId,
        request_id: RequestId,
        request: AdmitMember,
    ) -> Result<MemberId, ApiError> {
        let (group, incarnation) = (self.confirmed()?, request.incarnation);
        // One that comes back has its number: the log need not say so again.
        if let Some(member) = group.read(|shown| shown.view.member_of(from, incarnation)) {
            return Ok(member);
        }
        let action = Action::AdmitMember { peer: from, incarnation };
        let applied = group.propose(Command { key: None, request_id, action }).await?;
        match applied {
            Applied::Member(member) => Ok(member),
            other => Err(ApiError::internal(format!("admitting answered {other:?}"))),
        }
    }

    /// Starts replicating to a member that was admitted.
    ///
    /// # Errors
    /// Not the leader, or the number was given to other data.
    pub async fn seat(&self, from: PeerId, request: SeatMember) -> Result<(), ApiError> {
        let group = self.confirmed()?;
        let given = group.read(|shown| shown.view.member_of(from, request.incarnation));
        if given != Some(request.member) {
            let rule = format!("was not given to this node's data (that is {given:?})");
            return Err(ApiError::invalid("member", rule));
        }
        group.seat(request.member, Seat { peer: from, incarnation: request.incarnation }).await
    }

    /// Takes a member out of the membership, for it is about to stop.
    ///
    /// # Errors
    /// Not the leader, another one's number, or no majority agreed in time.
    pub async fn unseat(
        &self,
        from: PeerId,
        deadline: Instant,
        request: UnseatMember,
    ) -> Result<Unseated, ApiError> {
        let seat = Seat { peer: from, incarnation: request.incarnation };
        self.group()?.unseat(request.member, &seat, deadline).await
    }

    /// Takes no more writes of users from here on.
    ///
    /// # Errors
    /// Not the leader, or it holds things and is not forced.
    pub async fn close(&self, request_id: RequestId, force: bool) -> Result<(), ApiError> {
        let action = Action::CloseRack { force };
        self.confirmed()?.propose(Command { key: None, request_id, action }).await.map(drop)
    }

    /// The group, once its founding is confirmed: before that nothing may be acknowledged.
    ///
    /// # Errors
    /// Before that.
    pub fn confirmed(&self) -> Result<Arc<Group<Things>>, ApiError> {
        let group = self.group()?;
        if group.read(|shown| shown.view.confirmed()) {
            return Ok(group);
        }
        // A follower that has just started has applied nothing yet; its leader can say more.
        match leader_in(&group.metrics().borrow()) {
            Some(leader) if leader != self.place.mesh.peer_id() => {
                Err(ApiError::NotLeader { rack: self.place.id.clone(), leader: Some(leader) })
            }
            _ => Err(self.unavailable("it has no leader yet, or its founding is not confirmed")),
        }
    }

    /// One page of the committed log.
    ///
    /// # Errors
    /// Before there is a member, or when its log can't be read.
    pub async fn read_log(&self, request: ReadLog) -> Result<LogPage, ApiError> {
        self.group()?.log_page(request.from, request.limit.clamp(1, MAX_LOG_PAGE)).await
    }

    /// The committed log from an index on, and then as it grows, until the reader goes.
    ///
    /// # Errors
    /// As [`Rack::read_log`].
    pub async fn tail_log(&self, request: TailLog, mut items: ItemSink) -> Result<(), ApiError> {
        let group = self.group()?;
        let mut applied = group.applied();
        let mut next = request.from;
        loop {
            let page = group.log_page(next, MAX_LOG_PAGE).await?;
            for record in &page.records {
                next = record.index + 1;
                if items.send(record).await.is_err() {
                    return Ok(());
                }
            }
            if page.records.is_empty() {
                // The mesh drops this future when the reader goes.
                let grown = applied.wait_for(|now| now.is_some_and(|now| now >= next));
                if grown.await.is_err() {
                    return Err(Group::<Things>::stopped());
                }
            }
        }
    }

    /// Waits until this member knows the rack's leader.
    ///
    /// # Errors
    /// What it waits for, when the time is over or no time will help.
    pub async fn ready(&self, within: Duration) -> Result<(), String> {
        let (until, mut told) = (Instant::now() + within, Instant::now());
        loop {
            let why = match (self.stage(), self.status()) {
                (Stage::Failed(why), _) => return Err(why),
                (Stage::Retired, _) => return Err("the rack is retired".into()),
                (_, Ok(status)) if status.leader.is_some() => return Ok(()),
                (Stage::Waiting(why), Err(_)) => why,
                (_, Err(error)) => error.to_string(),
                (_, Ok(status)) => leaderless(&status),
            };
            if Instant::now() >= until {
                return Err(why);
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tracing::warn!(rack = %self.place.id, why, "still waiting");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn leaderless(status: &MemberStatus) -> String {
    let voters = status.members.iter().filter(|member| member.role == MemberRole::Voter).count();
    let majority = voters / 2 + 1;
    format!("it has no leader: {majority} of its {voters} voters have to run, start the others too")
}
