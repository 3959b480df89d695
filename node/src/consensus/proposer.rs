//! Gathers all commands that wait at one moment into one log entry.
//!
//! While an entry is being committed, arriving commands wait and become the next one: a flush is
//! paid once for all of them, and the more callers there are the larger the batches grow.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bookmesh_rpc::api::{ApiError, Batch, Command, GroupId, MAX_ENTRY_BYTES, Outcome};
use bookmesh_rpc::{codec, timing};
use openraft::ServerState;
use openraft::error::{ClientWriteError, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::membership::leader_of;
use super::types::{Commands, Outcomes, Raft};

/// Commands that may wait; beyond that callers are told the node is busy.
const QUEUE: usize = 4 * 1024;
/// Commands that are taken from the queue at once: what a batch call has.
const TAKEN: usize = 1024;
/// How long a majority may take for what was submitted.
const COMMIT_WITHIN: Duration = Duration::from_secs(10);
/// Entries submitted at once from what waits: enough to carry a whole batch call in one go.
const MAX_ENTRIES: usize = 16;
/// Room for the batch's own head: its time and its count of commands.
const HEAD_BYTES: usize = 32;

struct Waiting {
    command: Command,
    bytes: usize,
    answer: oneshot::Sender<Answered>,
}

/// An outcome, and how long applying its entry took.
type Answered = (Outcome, Duration);

/// A command that waits to be committed and applied.
#[derive(Debug)]
pub struct Pending {
    since: Instant,
    answer: oneshot::Receiver<Answered>,
}

impl Pending {
    /// Waits for what applying it answered.
    ///
    /// # Errors
    /// That, or that the member is stopping.
    pub async fn outcome(self) -> Outcome {
        let since = self.since;
        let (outcome, took) = self.answered().await;
        timing::note_commit(since.elapsed(), took);
        outcome
    }

    /// The same with how long applying its entry took, for whoever waits for many at once and notes
    /// that as one wait.
    pub async fn answered(self) -> (Outcome, Duration) {
        self.answer.await.unwrap_or_else(|_| (Err(stopped()), Duration::ZERO))
    }
}

/// Where a group's commands go in.
#[derive(Clone, Debug)]
pub struct Proposer {
    queue: mpsc::Sender<Waiting>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Proposer {
    /// A proposer for `raft`, and the task that has to be run for it.
    pub fn new(raft: Raft, group: GroupId) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        (Self { queue }, run(raft, group, waiting))
    }

    /// Queues one command; its outcome is there once it is committed and applied.
    ///
    /// # Errors
    /// [`ApiError::Busy`] when too many wait, [`ApiError::Invalid`] for one over the entry limit.
    pub fn submit(&self, command: Command) -> Result<Pending, ApiError> {
        let (waiting, outcome) = prepare(command)?;
        match self.queue.try_send(waiting) {
            Ok(()) => Ok(outcome),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ApiError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(stopped()),
        }
    }

    /// As [`Proposer::submit`], but waits for a place in the queue: for the commands of a batch,
    /// which are many and have one caller.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] for a command over the entry limit.
    pub async fn enqueue(&self, command: Command) -> Result<Pending, ApiError> {
        let (waiting, outcome) = prepare(command)?;
        self.queue.send(waiting).await.map_err(|_| stopped())?;
        Ok(outcome)
    }

    /// Queues one command and waits for its outcome.
    ///
    /// # Errors
    /// As [`Proposer::submit`], and whatever applying it answered.
    pub async fn propose(&self, command: Command) -> Outcome {
        self.submit(command)?.outcome().await
    }
}

fn prepare(command: Command) -> Result<(Waiting, Pending), ApiError> {
    let bytes = codec::encode(&command).map_err(ApiError::internal)?.len();
    if bytes + HEAD_BYTES > MAX_ENTRY_BYTES {
        let rule = format!("must encode to at most {MAX_ENTRY_BYTES} bytes, has {bytes}");
        return Err(ApiError::invalid("command", rule));
    }
    let (answer, answered) = oneshot::channel();
    let pending = Pending { since: Instant::now(), answer: answered };
    Ok((Waiting { command, bytes, answer }, pending))
}

pub(super) fn stopped() -> ApiError {
    ApiError::Unavailable { what: "this member".into(), why: "it is stopping".into() }
}

async fn run(raft: Raft, group: GroupId, mut queue: mpsc::Receiver<Waiting>) {
    let mut waiting = VecDeque::new();
    let mut time_ms = 0;
    while let Some(first) = queue.recv().await {
        waiting.push_back(first);
        while waiting.len() < TAKEN
            && let Ok(next) = queue.try_recv()
        {
            waiting.push_back(next);
        }
        while !waiting.is_empty() {
            time_ms = time_ms.max(now_ms());
            commit(&raft, &group, &mut waiting, time_ms).await;
        }
    }
}

/// Submits up to [`MAX_ENTRIES`] entries of what waits, and waits for all of them.
async fn commit(raft: &Raft, group: &GroupId, waiting: &mut VecDeque<Waiting>, time_ms: u64) {
    let mut submitted = Vec::new();
    while submitted.len() < MAX_ENTRIES && !waiting.is_empty() {
        let (commands, answers) = next_entry(waiting);
        if commands.is_empty() {
            continue;
        }
        let entry = match codec::encode(&Batch { time_ms, commands }) {
            Ok(bytes) => Commands(bytes.into()),
            Err(error) => {
                answer_all(answers, &ApiError::internal(error));
                continue;
            }
        };
        match raft.client_write_ff(entry).await {
            Ok(result) => submitted.push((answers, result)),
            Err(fatal) => answer_all(answers, &failed(raft, &fatal)),
        }
    }
    let until = Instant::now() + COMMIT_WITHIN;
    let mut metrics = raft.metrics();
    for (answers, result) in submitted {
        let deposed = metrics.wait_for(|metrics| metrics.state != ServerState::Leader);
        let ended = tokio::select! {
            biased;
            result = tokio::time::timeout_at(until, result) => result,
            // openraft tells nobody before the entry is cut off, which may be never. Whether it
            // counts is for the next leader to say; the callers' keys make it safe to ask it.
            _ = deposed => {
                answer_all(answers, &not_leader(group, leader_of(raft)));
                continue;
            }
        };
        match ended {
            Ok(Ok(Ok(written))) => {
                let Outcomes { outcomes, took } = written.data;
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // A caller that is gone asked for nothing any more.
                    drop(answer.send((outcome, took)));
                }
            }
            Ok(Ok(Err(error))) => answer_all(answers, &refused(raft, group, &error)),
            // openraft has stopped, or no majority answers. Whether the entry is committed is not
            // known; the callers' keys make it safe to send the commands again.
            Ok(Err(_)) => answer_all(answers, &stopped()),
            Err(_) => answer_all(answers, &no_majority(group)),
        }
    }
}

fn no_majority(group: &GroupId) -> ApiError {
    let what = group.to_string();
    let why = format!("no majority took the entry within {COMMIT_WITHIN:?}");
    ApiError::Unavailable { what, why }
}

/// Takes as many commands as fit into one entry; those whose caller has given up are left out.
fn next_entry(waiting: &mut VecDeque<Waiting>) -> (Vec<Command>, Vec<oneshot::Sender<Answered>>) {
    let mut room = MAX_ENTRY_BYTES - HEAD_BYTES;
    let (mut commands, mut answers) = (Vec::new(), Vec::new());
    while let Some(next) = waiting.pop_front_if(|next| next.bytes <= room) {
        if next.answer.is_closed() {
            continue;
        }
        room -= next.bytes;
        commands.push(next.command);
        answers.push(next.answer);
    }
    (commands, answers)
}

fn answer_all(answers: Vec<oneshot::Sender<Answered>>, error: &ApiError) {
    for answer in answers {
        drop(answer.send((Err(error.clone()), Duration::ZERO)));
    }
}

fn refused(
    raft: &Raft,
    group: &GroupId,
    error: &ClientWriteError<u64, super::types::Seat>,
) -> ApiError {
    match error {
        ClientWriteError::ForwardToLeader(to) => not_leader(
            group,
            to.leader_node.as_ref().map(|seat| seat.peer).or_else(|| leader_of(raft)),
        ),
        ClientWriteError::ChangeMembershipError(error) => ApiError::internal(error),
    }
}

/// "Ask the leader", in the words of a rack or of the registry.
pub(super) fn not_leader(group: &GroupId, leader: Option<bookmesh_rpc::PeerId>) -> ApiError {
    match group {
        GroupId::Rack(rack) => ApiError::NotLeader { rack: rack.clone(), leader },
        GroupId::Registry => ApiError::NotRegistryLeader { leader },
    }
}

fn failed(raft: &Raft, fatal: &openraft::error::Fatal<u64>) -> ApiError {
    tracing::error!(error = %fatal, member = %raft.metrics().borrow().id, "this member has failed");
    ApiError::Unavailable { what: "this member".into(), why: fatal.to_string() }
}

/// Milliseconds since 1970 by this node's clock.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// What a read confirmation failed with, as callers are told.
pub(super) fn unreadable(
    raft: &Raft,
    group: &GroupId,
    error: RaftError<u64, openraft::error::CheckIsLeaderError<u64, super::types::Seat>>,
) -> ApiError {
    use openraft::error::CheckIsLeaderError::{ForwardToLeader, QuorumNotEnough};
    match error {
        RaftError::APIError(ForwardToLeader(to)) => {
            not_leader(group, to.leader_node.map(|seat| seat.peer).or_else(|| leader_of(raft)))
        }
        RaftError::APIError(QuorumNotEnough(error)) => ApiError::Unavailable {
            what: group.to_string(),
            why: format!("no majority confirms its leader: {error}"),
        },
        RaftError::Fatal(fatal) => failed(raft, &fatal),
    }
}
