//! One member of one group: a log, a view, and the tasks that keep them going.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, Command, GroupId, Hash, LogPage, LogRecord, MemberId, Outcome};
use bookmesh_rpc::{Mesh, PeerId};
use bookmesh_storage::view::View;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::metrics::RaftServerMetrics;
use openraft::{Config, SnapshotPolicy};
use tokio::task::JoinSet;

use super::checkpoint::{self, Saver};
use super::elector::{self, HEARTBEAT, LEASE, LastHeard};
use super::freshness::Freshness;
use super::handover::{self, Handover};
use super::log_store::{LogError, LogStore};
use super::machine::{Machine, SharedView, Shown};
use super::membership::{self, Aims, Leaving, Metrics, leader_of};
use super::network::{Inbound, Network};
use super::proposer::{Proposer, not_leader, now_ms, stopped};
use super::reader::Reader;
use super::recovery;
use super::types::{Raft, Seat, to_log_record};

/// Entries in one append message. A message is cut at 256 KiB of entries by the log store, so this
/// only bounds many small ones.
const MAX_PAYLOAD_ENTRIES: u64 = 256;
/// Bytes of records in one answer about the log.
const LOG_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Members of one group. A membership stands in one record, which has room for many more.
const MAX_MEMBERS: usize = 64;
/// How long a stop waits for openraft, and for the last checkpoint.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// What a member is made of.
pub struct GroupConfig {
    /// How members reach each other.
    pub mesh: Mesh,
    /// Which group.
    pub name: GroupId,
    /// The log on disk.
    pub store: bookmesh_storage::Group,
    /// This member's number.
    pub member: MemberId,
    /// What the group aims for.
    pub aims: Arc<Aims>,
}

/// Why a member can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Its log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// openraft refuses.
    #[error("consensus can't start: {0}")]
    Raft(String),
}

/// One member of one group.
pub struct Group<V> {
    mesh: Mesh,
    name: GroupId,
    member: MemberId,
    heard: Arc<LastHeard>,
    leaving: Arc<Leaving>,
    handover: Arc<Handover>,
    raft: Raft,
    log: LogStore,
    freshness: Arc<Freshness>,
    shared: Arc<SharedView<V>>,
    proposer: Proposer,
    reader: Reader,
    inbound: Inbound,
    saver: Saver,
    tasks: Mutex<JoinSet<()>>,
    opened: Instant,
}

impl<V: View> Group<V> {
    /// Opens the member that stands on disk, or a new one; returns once its view shows at least
    /// its last checkpoint.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn open(config: GroupConfig) -> Result<Arc<Self>, GroupError> {
        let GroupConfig { mesh, name, store, member, aims } = config;
        let log = LogStore::open(store.clone())?.resigning(member);
        let given_up = recovery::given_up(&store)?;
        let (shown, saver) = checkpoint::load::<V>(&store, &log).await?;
        let shared = SharedView::new(shown);
        let freshness = Freshness::new(member, shared.clone());
        let network = Network::new(mesh.clone(), name.clone(), log.clone(), freshness.clone());
        let answered = network.answered();
        let machine = Machine::new(shared.clone());
        let raft = Raft::new(member, raft_config(&name)?, network.clone(), log.clone(), machine);
        let raft = raft.await.map_err(|error| GroupError::Raft(error.to_string()))?;

        let heard = Arc::new(LastHeard::default());
        let (proposer, propose) = Proposer::new(raft.clone(), name.clone());
        let (reader, confirm) = Reader::new(raft.clone(), name.clone(), shared.applied());
        let mut tasks = JoinSet::new();
        let mut run = |what, task: BoxFuture<'static, ()>| {
            tasks.spawn(watched(what, raft.clone(), task));
        };
        run("proposer", propose.boxed());
        run("reader", confirm.boxed());
        run("elector", elector::run(raft.clone(), heard.clone(), network, store.clone()).boxed());
        let leaving = Arc::new(Leaving::default());
        let keeping = membership::run(raft.clone(), aims, answered, leaving.clone());
        run("membership", keeping.boxed());
        let handover = Arc::new(Handover::default());
        let handing = handover::run(raft.clone(), store.clone(), handover.clone());
        run("handover", handing.boxed());
        run("checkpoints", saver.clone().run(shared.clone()).boxed());
        let inbound = Inbound::new(
            raft.clone(),
            log.clone(),
            heard.clone(),
            freshness.clone(),
            store.clone(),
            given_up,
        );
        let tasks = Mutex::new(tasks);
        Ok(Arc::new(Self {
            mesh,
            name,
            member,
            heard,
            leaving,
            handover,
            raft,
            log,
            freshness,
            shared,
            proposer,
            reader,
            inbound,
            saver,
            tasks,
            opened: Instant::now(),
        }))
    }

    /// Begins the group with this member alone. Beginning again changes nothing.
    ///
    /// # Errors
    /// When openraft refuses.
    pub async fn begin(&self, seat: Seat) -> Result<(), GroupError> {
        if self.raft.is_initialized().await.is_ok_and(|begun| begun) {
            return Ok(());
        }
        match self.raft.initialize(BTreeMap::from([(self.member, seat)])).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
            Err(error) => Err(GroupError::Raft(error.to_string())),
        }
    }

    /// Commits one command and answers what applying it did.
    ///
    /// # Errors
    /// Not the leader, too much waiting, or the command's own.
    pub async fn propose(&self, command: Command) -> Outcome {
        self.proposer.propose(command).await
    }

    /// Where commands go in, for callers that have many.
    pub fn proposer(&self) -> &Proposer {
        &self.proposer
    }

    /// Returns once the view shows every write that was acknowledged before.
    ///
    /// # Errors
    /// Not the leader, or no majority confirms that it is.
    pub async fn confirm(&self) -> Result<(), ApiError> {
        if self.handover.is_under_way() {
            let why = "its disk is full, and it lets another member lead".to_owned();
            return Err(ApiError::Unavailable { what: self.name.to_string(), why });
        }
        self.reader.confirm().await
    }

    /// By how many milliseconds this member may be behind the group, as a follower, by its clock
    /// and the leader's; `None` before it has caught up with a leader.
    pub fn lag_ms(&self) -> Option<u64> {
        self.freshness.lag_ms(now_ms())
    }

    /// Reads the view as it is.
    pub fn read<T>(&self, read: impl FnOnce(&Shown<V>) -> T) -> T {
        self.shared.read(read)
    }

    pub(super) const fn log(&self) -> &LogStore {
        &self.log
    }

    /// The last applied index, as it grows.
    pub fn applied(&self) -> tokio::sync::watch::Receiver<Option<u64>> {
        self.shared.applied()
    }

    /// This member's number.
    pub const fn member(&self) -> MemberId {
        self.member
    }

    /// Which group.
    pub const fn name(&self) -> &GroupId {
        &self.name
    }

    pub(super) const fn freshness(&self) -> &Arc<Freshness> {
        &self.freshness
    }

    /// When this member was opened.
    pub const fn opened(&self) -> Instant {
        self.opened
    }

    pub(super) const fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    pub(super) const fn leaving(&self) -> &Arc<Leaving> {
        &self.leaving
    }

    /// The place in the log of the latest membership that is committed here.
    pub fn membership_index(&self) -> u64 {
        self.read(|shown| shown.membership.log_id().map_or(0, |id| id.index))
    }

    /// Whether this member leads, or has heard from a leader within the last `time`.
    pub fn is_led(&self, time: Duration) -> bool {
        let metrics = self.metrics();
        let metrics = metrics.borrow();
        metrics.current_leader == Some(metrics.id) || self.heard.within(time)
    }

    /// The term of the last entry in its log, applied or not; 0 while there is none.
    pub fn last_term(&self) -> u64 {
        self.log.last_term()
    }

    /// What openraft says of this member and its group.
    pub fn metrics(&self) -> tokio::sync::watch::Receiver<Metrics> {
        self.raft.metrics()
    }

    /// Part of that: who leads, who belongs, in which term. It changes rarely, also under load.
    pub fn standing(&self) -> tokio::sync::watch::Receiver<RaftServerMetrics<MemberId, Seat>> {
        self.raft.server_metrics()
    }

    /// Answers a message of another member.
    ///
    /// # Errors
    /// When it is for another member than this, or this one has failed.
    pub async fn answer(&self, from: PeerId, to: MemberId, body: &[u8]) -> Result<Bytes, ApiError> {
        if to != self.member {
            let what = format!("this is member {}, the message is for member {to}", self.member);
            return Err(ApiError::invalid("to", what));
        }
        self.inbound.answer(from, body).await.map(Bytes::from)
    }

    /// Starts replicating to a member. It is a learner until it has caught up and a voter is
    /// wanted. Doing it again changes nothing.
    ///
    /// # Errors
    /// Not the leader, or another change is under way.
    pub async fn seat(&self, member: MemberId, seat: Seat) -> Result<(), ApiError> {
        // By what is committed: what is merely on its way may be cut off with this leader.
        let (known, members) = self.read(|shown| {
            let members = shown.membership.membership();
            (members.get_node(&member).is_some_and(|known| *known == seat), members.nodes().count())
        });
        if known {
            return Ok(());
        }
        if members >= MAX_MEMBERS {
            let why = format!("it has {members} members, and {MAX_MEMBERS} is the most");
            return Err(ApiError::Unavailable { what: self.name.to_string(), why });
        }
        match self.raft.add_learner(member, seat, false).await {
            Ok(_) => Ok(()),
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_))) => {
                Err(not_leader(&self.name, leader_of(&self.raft)))
            }
            Err(error) => {
                let (what, why) = (self.name.to_string(), error.to_string());
                Err(ApiError::Unavailable { what, why })
            }
        }
    }

    /// One page of the committed log.
    ///
    /// # Errors
    /// When the log can't be read.
    pub async fn log_page(&self, from: u64, limit: u32) -> Result<LogPage, ApiError> {
        let committed = self.read(|shown| shown.applied.map(|id| id.index));
        let Some(committed_index) = committed else {
            return Ok(LogPage { records: Vec::new(), previous: Hash::ZERO, committed_index: 0 });
        };
        let end = from.saturating_add(u64::from(limit)).min(committed_index + 1);
        let previous = match from.checked_sub(1) {
            Some(before) => {
                self.log.hash_at(before.min(committed_index)).await.map_err(ApiError::internal)?
            }
            None => Hash::ZERO,
        };
        let mut records = Vec::new();
        if from < end {
            let entries = self.log.entries(from..end, LOG_PAGE_BYTES).await;
            for entry in entries.map_err(ApiError::internal)? {
                records.push(self.log_record(entry).await?);
            }
        }
        Ok(LogPage { records, previous, committed_index })
    }

    async fn log_record(&self, entry: super::types::Entry) -> Result<LogRecord, ApiError> {
        let hash = self.log.hash_at(entry.log_id.index).await.map_err(ApiError::internal)?;
        Ok(to_log_record(entry, hash))
    }

    /// Stops the member: openraft first, then the tasks, then one last checkpoint.
    pub async fn stop(&self) {
        if tokio::time::timeout(STOP_DEADLINE, self.raft.shutdown()).await.is_err() {
            tracing::warn!(group = %self.name, "consensus did not stop in time");
        }
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.abort_all();
        while tasks.join_next().await.is_some() {}
        let saved = self.saver.save(&self.shared);
        if tokio::time::timeout(STOP_DEADLINE, saved).await.is_err() {
            tracing::warn!(group = %self.name, "the last checkpoint took too long");
        }
    }
}

impl<V> Group<V> {
    /// The error of a member that is stopping.
    pub fn stopped() -> ApiError {
        stopped()
    }
}

/// Runs a task that a member can't be without: when it ends before the member does, by a panic or
/// otherwise, the member ends too, and its rack goes on with the others.
async fn watched(what: &'static str, raft: Raft, task: BoxFuture<'static, ()>) {
    let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
    if raft.metrics().borrow().running_state.is_ok() {
        tracing::error!(what, panicked, "a task of this member ended; the member stops");
        // It is stopping anyway.
        let _ = raft.shutdown().await;
    }
}

fn raft_config(name: &GroupId) -> Result<Arc<Config>, GroupError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: name.to_string(),
        heartbeat_interval: millis(HEARTBEAT),
        // The upper end is what openraft takes as the leader's lease; the lower one is unused
        // while its own elections are off, and only has to be below.
        election_timeout_min: millis(LEASE) - 1,
        election_timeout_max: millis(LEASE),
        enable_elect: false,
        max_payload_entries: MAX_PAYLOAD_ENTRIES,
        snapshot_policy: SnapshotPolicy::Never,
        replication_lag_threshold: u64::MAX,
        max_in_snapshot_log_to_keep: u64::MAX,
        ..Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| GroupError::Raft(error.to_string()))
}
