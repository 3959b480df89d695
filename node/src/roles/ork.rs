//! An orchestrator: keeps the registry of racks in its log, and, in memory, who was heard of;
//! from both it makes the routes that gateways watch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{
    Action, Announce, Announced, ApiError, Applied, Command, ConfirmRack, GetRack, GroupId,
    MemberState, MemberStatus, NodeInfo, NodeRole, RackId, RackInfo, RackRoute, RegisterRack,
    Reply, Request, RequestId, RouteTable, StreamRequest,
};
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};
use bookmesh_rpc::{Mesh, PeerId};
use bookmesh_storage::view::Registry;
use tokio::sync::watch;

use super::worker::not_served;
use crate::consensus::Group;
use crate::consensus::proposer::now_ms;

/// Nodes that are remembered; further ones are not, so that announcements can't fill the memory.
const MAX_NODES: usize = 10_000;
/// What one announcement may hold.
const MAX_RACKS: usize = 256;
const MAX_MEMBERS: usize = 128;
const MAX_ADDRESSES: usize = 32;
const MAX_TEXT_BYTES: usize = 256;
/// How long a node that is silent stays in the list of nodes.
const FORGET_NODE: Duration = Duration::from_secs(10 * 60);
/// How long a leader's word is good when it has stopped announcing.
const LEADER_WORD: Duration = Duration::from_secs(3);
/// How long a watcher may be without news before it is told the same again, so that both ends
/// find out when the other is gone.
const REMINDER: Duration = Duration::from_secs(10);

/// An orchestrator.
pub struct Ork {
    mesh: Mesh,
    group: Arc<Group<Registry>>,
    heard: Mutex<BTreeMap<PeerId, Heard>>,
    routes: watch::Sender<RouteTable>,
    /// Before this moment an unknown rack gets no number: those that exist are to be heard first.
    numbers_from: Instant,
}

#[derive(Debug)]
struct Heard {
    info: NodeInfo,
    racks: Vec<MemberStatus>,
    at: Instant,
}

impl Ork {
    /// An orchestrator over the registry's group. `adopt_for` is how long one whose registry is
    /// empty listens for racks that exist before it numbers new ones.
    pub fn new(mesh: Mesh, group: Arc<Group<Registry>>, adopt_for: Duration) -> Arc<Self> {
        let empty = group.read(|shown| shown.view.list().len() == 0);
        let wait = if empty { adopt_for } else { Duration::ZERO };
        let ork = Self {
            mesh,
            group,
            heard: Mutex::default(),
            routes: watch::Sender::new(RouteTable::default()),
            numbers_from: Instant::now() + wait,
        };
        // Whoever watches first is told of the racks in the registry, not of none.
        ork.reroute();
        Arc::new(ork)
    }

    /// The registry's group.
    pub const fn group(&self) -> &Arc<Group<Registry>> {
        &self.group
    }

    /// The routes, as they change.
    pub fn routes(&self) -> watch::Receiver<RouteTable> {
        self.routes.subscribe()
    }

    async fn register(
        &self,
        from: PeerId,
        request_id: RequestId,
        request: RegisterRack,
    ) -> Result<RackInfo, ApiError> {
        let known = self.group.read(|shown| shown.view.get(&request.rack).is_some());
        let wait = self.numbers_from.saturating_duration_since(Instant::now());
        if !known && request.charter.is_none() && !wait.is_zero() {
            return Err(ApiError::Unavailable {
                what: "the registry".into(),
                why: format!("it is new and listens for existing racks for {wait:.1?} more"),
            });
        }
        let RegisterRack { rack, kind, incarnation, charter } = request;
        let action = Action::RegisterRack { rack, kind, founder: from, incarnation, charter };
        self.commit(request_id, action).await
    }

    async fn confirm(
        &self,
        from: PeerId,
        request_id: RequestId,
        request: ConfirmRack,
    ) -> Result<RackInfo, ApiError> {
        let ConfirmRack { rack, incarnation } = request;
        self.commit(request_id, Action::ConfirmRack { rack, founder: from, incarnation }).await
    }

    async fn commit(&self, request_id: RequestId, action: Action) -> Result<RackInfo, ApiError> {
        match self.group.propose(Command { key: None, request_id, action }).await? {
            Applied::Rack(info) => {
                self.reroute();
                Ok(info)
            }
            other => Err(ApiError::internal(format!("the registry answered {other:?}"))),
        }
    }

    async fn announced(
        &self,
        from: PeerId,
        request_id: RequestId,
        announce: Announce,
    ) -> Result<Announced, ApiError> {
        check_size(&announce)?;
        let Announce { role, version, addresses, racks } = announce;
        let names = racks.iter().map(|status| status.rack.clone()).collect();
        let info =
            NodeInfo { peer: from, role, version, addresses, racks: names, last_seen_ms: now_ms() };
        let orphans = self.unregistered(&racks);
        self.hear(from, Heard { info, racks, at: Instant::now() });
        for orphan in orphans {
            self.adopt(from, request_id.clone(), orphan).await;
        }
        self.reroute();
        Ok(Announced::default())
    }

    fn hear(&self, from: PeerId, news: Heard) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.retain(|_, node| node.at.elapsed() < FORGET_NODE);
        if heard.len() < MAX_NODES || heard.contains_key(&from) {
            heard.insert(from, news);
        }
    }

    /// Racks that a leader speaks for and this registry does not have: it was made anew.
    fn unregistered(&self, racks: &[MemberStatus]) -> Vec<MemberStatus> {
        self.group.read(|shown| {
            let unknown = |status: &&MemberStatus| {
                status.charter.is_some()
                    && status.state == MemberState::Leader
                    && shown.view.get(&status.rack).is_none()
            };
            racks.iter().filter(unknown).cloned().collect()
        })
    }

    async fn adopt(&self, from: PeerId, request_id: RequestId, status: MemberStatus) {
        let (rack, charter) = (status.rack, status.charter);
        let number = charter.map(|charter| charter.number);
        let request = RegisterRack {
            rack: rack.clone(),
            kind: status.kind,
            incarnation: Default::default(),
            charter,
        };
        match self.register(from, request_id, request).await {
            Ok(_) => {
                tracing::info!(%rack, ?number, "adopted a rack that was there before this registry")
            }
            Err(error) => tracing::error!(%rack, ?number, %error, "can't adopt the rack"),
        }
    }

    async fn rack(&self, request: GetRack) -> Result<RackInfo, ApiError> {
        self.group.confirm().await?;
        let rack = request.rack;
        let found = self.group.read(|shown| shown.view.get(&rack).cloned());
        found.ok_or(ApiError::RackNotFound { rack })
    }

    /// Everyone who was heard of, and this node itself.
    fn nodes(&self) -> Vec<NodeInfo> {
        let me = NodeInfo {
            peer: self.mesh.peer_id(),
            role: NodeRole::Ork,
            version: env!("CARGO_PKG_VERSION").into(),
            addresses: self.mesh.addresses(),
            racks: Vec::new(),
            last_seen_ms: now_ms(),
        };
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.values().map(|node| node.info.clone()).chain([me]).collect()
    }

    fn reroute(&self) {
        let racks: Vec<_> = self.group.read(|shown| shown.view.list().cloned().collect());
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let racks = racks.into_iter().map(|rack| route(rack, &heard)).collect();
        drop(heard);
        let table = RouteTable { racks };
        self.routes.send_if_modified(|routes| {
            let changed = *routes != table;
            *routes = table;
            changed
        });
    }

    async fn watch_routes(&self, mut items: ItemSink) -> Result<(), ApiError> {
        // A new registry knows of no racks only because nobody has told it of them yet.
        tokio::time::sleep_until(self.numbers_from.into()).await;
        let mut routes = self.routes();
        loop {
            let table = routes.borrow_and_update().clone();
            if items.send(&table).await.is_err() {
                return Ok(());
            }
            // An error is the deadline: say the same again.
            if let Ok(Err(_)) = tokio::time::timeout(REMINDER, routes.changed()).await {
                return Ok(());
            }
        }
    }

    async fn answer(
        &self,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> Result<Reply, ApiError> {
        let id = context.request_id;
        Ok(match request {
            Request::Ping(ping) => Reply::Ping(ping.payload),
            Request::Consensus(message) if message.group == GroupId::Registry => {
                Reply::Consensus(self.group.answer(from, message.to, &message.body).await?)
            }
            Request::Announce(announce) => {
                Reply::Announce(self.announced(from, id, announce).await?)
            }
            Request::RegisterRack(request) => {
                Reply::RegisterRack(self.register(from, id, request).await?)
            }
            Request::ConfirmRack(request) => {
                Reply::ConfirmRack(self.confirm(from, id, request).await?)
            }
            Request::ListRacks(_) => {
                self.group.confirm().await?;
                Reply::ListRacks(self.group.read(|shown| shown.view.list().cloned().collect()))
            }
            Request::GetRack(request) => Reply::GetRack(self.rack(request).await?),
            Request::ListNodes(_) => Reply::ListNodes(self.nodes()),
            Request::Consensus(_)
            | Request::GetMember(_)
            | Request::AdmitMember(_)
            | Request::SeatMember(_)
            | Request::RegisterThing(_)
            | Request::RegisterThings(_)
            | Request::UpdateThing(_)
            | Request::ForgetThings(_)
            | Request::SettleKey(_)
            | Request::GetThing(_)
            | Request::ListThings(_)
            | Request::ReadLog(_)
            | Request::UnseatMember(_)
            | Request::CloseRack(_)
            | Request::RecoverRack(_)
            | Request::RetireRack(_)
            | Request::GetSettings(_)
            | Request::SetSettings(_)
            | Request::GetRegistry(_) => return Err(not_served(request.method())),
        })
    }
}

/// What one node may say of itself: it is kept in memory for every node.
fn check_size(announce: &Announce) -> Result<(), ApiError> {
    let Announce { role, version, addresses, racks } = announce;
    let texts = addresses.iter().chain([version]).all(|text| text.len() <= MAX_TEXT_BYTES);
    let members = racks.iter().all(|status| status.members.len() <= MAX_MEMBERS);
    if !texts || !members || addresses.len() > MAX_ADDRESSES || racks.len() > MAX_RACKS {
        return Err(ApiError::invalid("announce", "says more than a node may"));
    }
    if *role != NodeRole::Worker && !racks.is_empty() {
        return Err(ApiError::invalid("racks", "are held by workers alone"));
    }
    Ok(())
}

/// A rack's route, by what its members last said: the leader is the one with the highest term.
fn route(rack: RackInfo, heard: &BTreeMap<PeerId, Heard>) -> RackRoute {
    let holders: Vec<_> = heard
        .iter()
        .flat_map(|(peer, node)| node.racks.iter().map(move |status| (*peer, node, status)))
        .filter(|(_, _, status)| status.rack == rack.id)
        .collect();
    let newest = holders.iter().map(|(_, _, status)| status.term).max().unwrap_or(0);
    let leader = holders
        .iter()
        .filter(|(_, node, status)| {
            status.state == MemberState::Leader && node.at.elapsed() < LEADER_WORD
        })
        .max_by_key(|(_, _, status)| status.term);
    let things = holders.iter().map(|(_, _, status)| status.things).max().unwrap_or(0);
    RackRoute {
        leader: leader.map(|(peer, ..)| *peer),
        term: leader.map_or(newest, |(_, _, status)| status.term),
        members: holders.iter().map(|(peer, ..)| *peer).collect(),
        things,
        id: rack.id,
        kind: rack.kind,
        number: rack.number,
        confirmed: rack.confirmed,
        writable: leader.is_some_and(|(_, _, status)| status.writable),
        since_ms: rack.since_ms,
        retired: rack.retired,
    }
}

impl Service for Ork {
    fn call(
        self: Arc<Self>,
        from: PeerId,
        context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move { self.answer(from, context, request).await })
    }

    fn stream(
        self: Arc<Self>,
        _: PeerId,
        _: Context,
        request: StreamRequest,
        items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move {
            match request {
                StreamRequest::WatchRoutes(_) => self.watch_routes(items).await,
                StreamRequest::TailLog(_) | StreamRequest::FillReplica(_) => {
                    Err(not_served(request.method()))
                }
            }
        })
    }
}

/// The racks that an orchestrator knows of and that have no leader now.
pub fn leaderless(table: &RouteTable) -> Vec<RackId> {
    let without = table.racks.iter().filter(|route| route.confirmed && route.leader.is_none());
    without.map(|route| route.id.clone()).collect()
}
