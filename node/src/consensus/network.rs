//! openraft's messages between members, carried by the mesh's calls.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{ApiError, Consensus, GroupId, Hash, MemberId, RequestId};
use bookmesh_rpc::codec;
use bookmesh_rpc::mesh::{CallError, Context};
use bookmesh_rpc::{Mesh, PeerId};
use bookmesh_storage::Group;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption};
use openraft::raft::AppendEntriesResponse::{HigherVote, PartialSuccess, Success};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use openraft::{AnyError, LogId, RaftNetwork, RaftNetworkFactory, ServerState, Vote};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::elector::{LEASE, LastHeard};
use super::freshness::{Freshness, Sent, Stamp};
use super::log_store::LogStore;
use super::types::{Raft, Seat, TypeConfig};

/// What one member sends another.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// Entries, or a heartbeat; with the leader's chain before them, so that a follower whose
    /// history differs finds out before it appends.
    Append {
        /// The chain at the entry that precedes `request.entries`.
        previous: Hash,
        /// How fresh whoever has applied so much is.
        stamp: Option<Stamp>,
        /// openraft's own.
        request: AppendEntriesRequest<TypeConfig>,
    },
    /// A candidate's request.
    Vote(VoteRequest<MemberId>),
    /// Would the receiver vote for this member? Asked before it becomes a candidate; nothing is
    /// promised by the answer.
    Canvass {
        /// Who would stand.
        candidate: MemberId,
        /// The last entry in its log.
        last: Option<LogId<MemberId>>,
    },
}

type Failure<E> = RPCError<MemberId, Seat, E>;
type SnapshotError = RaftError<MemberId, InstallSnapshotError>;

/// Makes a connection for each member that openraft wants to reach.
#[derive(Clone)]
pub struct Network {
    mesh: Mesh,
    group: GroupId,
    log: LogStore,
    request_id: RequestId,
    answered: Arc<Answered>,
    freshness: Arc<Freshness>,
}

/// When each member last answered this one.
#[derive(Debug, Default)]
pub struct Answered(Mutex<HashMap<MemberId, Instant>>);

impl Answered {
    fn now(&self, member: MemberId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(member, Instant::now());
    }

    /// How long ago a member did.
    pub fn elapsed(&self, member: MemberId) -> Option<Duration> {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answered.get(&member).map(Instant::elapsed)
    }
}

impl Network {
    /// The network of one group.
    pub fn new(mesh: Mesh, group: GroupId, log: LogStore, freshness: Arc<Freshness>) -> Self {
        let (request_id, answered) = (RequestId::generate(), Arc::default());
        Self { mesh, group, log, request_id, answered, freshness }
    }

    /// Who answered when.
    pub fn answered(&self) -> Arc<Answered> {
        self.answered.clone()
    }
}

impl Network {
    /// Whether a member would vote for `candidate`, which is this one; silence is a no.
    pub async fn would_vote(
        &self,
        candidate: MemberId,
        voter: MemberId,
        seat: &Seat,
        within: Duration,
    ) -> bool {
        let Ok(last) = self.log.last_id().await else { return false };
        let Ok(body) = codec::encode(&Message::Canvass { candidate, last }) else { return false };
        let message = Consensus { group: self.group.clone(), to: voter, body: body.into() };
        let context =
            Context { request_id: self.request_id.clone(), deadline: Instant::now() + within };
        let reply = self.mesh.call(seat.peer, &context, message).await;
        reply.is_ok_and(|reply| codec::decode(&reply).unwrap_or(false))
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: MemberId, seat: &Seat) -> Connection {
        Connection { network: self.clone(), target, seat: seat.clone() }
    }
}

/// One member as another reaches it.
pub struct Connection {
    network: Network,
    target: MemberId,
    seat: Seat,
}

impl Connection {
    async fn send<R: DeserializeOwned>(
        &self,
        message: &Message,
        option: &RPCOption,
    ) -> Result<R, Failure<RaftError<MemberId>>> {
        let body = codec::encode(message).map_err(|error| unsendable(&error))?;
        let request =
            Consensus { group: self.network.group.clone(), to: self.target, body: body.into() };
        let context = Context {
            request_id: self.network.request_id.clone(),
            deadline: Instant::now() + option.hard_ttl(),
        };
        let reply = self.network.mesh.call(self.seat.peer, &context, request).await;
        let reply = reply.map_err(|error| failed(&error))?;
        let result: Result<R, RaftError<MemberId>> =
            codec::decode(&reply).map_err(|error| unsendable(&error))?;
        match result {
            Ok(reply) => {
                self.network.answered.now(self.target);
                Ok(reply)
            }
            // A member that has failed answers at once and always the same.
            Err(RaftError::Fatal(fatal)) => Err(Unreachable::from(AnyError::new(&fatal)).into()),
            Err(error) => {
                Err(RemoteError::new_with_node(self.target, self.seat.clone(), error).into())
            }
        }
    }
}

fn unsendable<E: std::error::Error>(error: &codec::CodecError) -> Failure<E> {
    NetworkError::from(AnyError::new(error)).into()
}

/// A call that took its whole time is sent again at once; whoever can't be reached, or has no room
/// for one, is left alone for a moment.
fn failed<E: std::error::Error>(error: &CallError) -> Failure<E> {
    match error {
        CallError::Timeout { .. } => NetworkError::from(AnyError::new(error)).into(),
        _ => Unreachable::from(AnyError::new(error)).into(),
    }
}

impl RaftNetwork<TypeConfig> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<MemberId>, Failure<RaftError<MemberId>>> {
        let previous = match request.prev_log_id {
            Some(id) => self
                .network
                .log
                .hash_at(id.index)
                .await
                .map_err(|error| Failure::from(NetworkError::from(AnyError::new(&error))))?,
            None => Hash::ZERO,
        };
        let (term, sent) = (request.vote.leader_id().term, Sent::now());
        let stamp = self.network.freshness.stamp(term, sent.ms);
        let reply = self.send(&Message::Append { previous, stamp, request }, &option).await?;
        if !matches!(reply, HigherVote(_)) {
            self.network.freshness.acknowledged(term, self.target, sent);
        }
        Ok(reply)
    }

    /// The log is never purged, so a replica is always filled from its entries; a leader has no
    /// reason to send a snapshot, and no member takes one.
    async fn install_snapshot(
        &mut self,
        _: InstallSnapshotRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<InstallSnapshotResponse<MemberId>, Failure<SnapshotError>> {
        let why = ApiError::NotServed { method: "installSnapshot".into() };
        Err(Unreachable::from(AnyError::new(&why)).into())
    }

    async fn vote(
        &mut self,
        request: VoteRequest<MemberId>,
        option: RPCOption,
    ) -> Result<VoteResponse<MemberId>, Failure<RaftError<MemberId>>> {
        self.send(&Message::Vote(request), &option).await
    }

    /// A member that is back should take part again well within the time a failover may take.
    fn backoff(&self) -> Backoff {
        let steps = [20, 50, 100, 200].into_iter().chain(std::iter::repeat(300));
        Backoff::new(steps.map(Duration::from_millis))
    }
}

/// A term that is further ahead than this is none that elections led to: a group that took it
/// over would have used up its terms.
const MAX_TERM_AHEAD: u64 = 1_000_000;

/// The answering side: one group's messages, from whoever the mesh says they are from.
pub struct Inbound {
    raft: Raft,
    log: LogStore,
    heard: Arc<LastHeard>,
    freshness: Arc<Freshness>,
    disk: Group,
    given_up: BTreeSet<MemberId>,
    /// Whether it was said that one of those is back.
    told: AtomicBool,
}

impl Inbound {
    /// Answers for `raft`, whose log is on this disk, but not to those who were given up.
    pub fn new(
        raft: Raft,
        log: LogStore,
        heard: Arc<LastHeard>,
        freshness: Arc<Freshness>,
        disk: Group,
        given_up: BTreeSet<MemberId>,
    ) -> Self {
        Self { raft, log, heard, freshness, disk, given_up, told: AtomicBool::new(false) }
    }

    /// Answers one encoded [`Message`].
    ///
    /// # Errors
    /// When the message is none, speaks for another node than it comes from, the member has
    /// failed, or the leader's history is another one.
    pub async fn answer(&self, from: PeerId, body: &[u8]) -> Result<Vec<u8>, ApiError> {
        let message = codec::decode(body)
            .map_err(|error| ApiError::invalid("consensus", error.to_string()))?;
        let reply = match message {
            Message::Append { previous, stamp, mut request } => {
                self.check_sender(from, &request.vote)?;
                self.check_history(previous, &request).await?;
                let full = if request.entries.is_empty() { Ok(()) } else { self.disk.room() };
                if full.is_err() {
                    // The leader is heard all the same, and what is here already is applied.
                    request.entries.clear();
                }
                let reply = self.raft.append_entries(request).await;
                if matches!(&reply, Ok(reply) if !matches!(reply, HigherVote(_))) {
                    self.heard.now();
                }
                // Before its log is the leader's, what this member has applied is not either.
                if let (Ok(Success | PartialSuccess(_)), Some(stamp)) = (&reply, stamp) {
                    self.freshness.hear(stamp);
                }
                if let Err(full) = full {
                    let (what, why) = ("this member".into(), full.to_string());
                    return Err(ApiError::Unavailable { what, why });
                }
                codec::encode(&reply)
            }
            Message::Canvass { candidate, last } => {
                self.check_speaks_for(from, candidate)?;
                codec::encode(&self.would_vote(last).await?)
            }
            Message::Vote(request) => {
                self.check_sender(from, &request.vote)?;
                let reply = self.raft.vote(request).await;
                if matches!(&reply, Ok(vote) if vote.vote_granted) {
                    self.heard.now();
                }
                codec::encode(&reply)
            }
        };
        reply.map_err(ApiError::internal)
    }

    /// A member speaks for itself alone. One that this member does not know of yet can't be
    /// checked: a replica that is behind has to take entries from whoever leads now.
    fn check_sender(&self, from: PeerId, vote: &Vote<MemberId>) -> Result<(), ApiError> {
        if let Some(sender) = vote.leader_id().voted_for() {
            self.check_speaks_for(from, sender)?;
        }
        let term = self.raft.metrics().borrow().current_term;
        if vote.leader_id().term > term.saturating_add(MAX_TERM_AHEAD) {
            return Err(ApiError::invalid("vote", "has a term that no election led to"));
        }
        Ok(())
    }

    fn check_speaks_for(&self, from: PeerId, member: MemberId) -> Result<(), ApiError> {
        if self.given_up.contains(&member) {
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    member, from = %from.short(), "a member that the rack goes on without is back"
                );
            }
            return Err(ApiError::invalid("vote", "is of a member that the rack goes on without"));
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let seat = metrics.membership_config.membership().get_node(&member);
        if seat.is_some_and(|seat| seat.peer != from) {
            return Err(ApiError::invalid("vote", "is another member's than the sender's"));
        }
        Ok(())
    }

    /// No leader is known to live, and the candidate's log is not behind this one's.
    async fn would_vote(&self, last: Option<LogId<MemberId>>) -> Result<bool, ApiError> {
        let leads = self.raft.metrics().borrow().state == ServerState::Leader;
        if leads || self.heard.within(LEASE) {
            return Ok(false);
        }
        let ours = self.log.last_id().await.map_err(ApiError::internal)?;
        Ok(last >= ours)
    }

    /// Same place, same term, other chain: one of the two logs was changed outside of consensus.
    async fn check_history(
        &self,
        previous: Hash,
        request: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(), ApiError> {
        let Some(id) = request.prev_log_id else { return Ok(()) };
        if self.log.log_id_at(id.index).await.map_err(ApiError::internal)? != Some(id) {
            return Ok(());
        }
        let ours = self.log.hash_at(id.index).await.map_err(ApiError::internal)?;
        if ours == previous {
            return Ok(());
        }
        tracing::error!(
            index = id.index, %ours, theirs = %previous,
            "the leader's log has another history; this member takes nothing from it"
        );
        Err(ApiError::internal(format!("another history up to index {}", id.index)))
    }
}
