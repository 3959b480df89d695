//! An orchestrator: a member of the registry's group, or on its way to be one; in memory, who was
//! heard of; and from both the routes that gateways watch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bookmesh_rpc::api::{
    Announce, Announced, ApiError, Incarnation, MemberState, MemberStatus, NodeInfo, NodeRole,
    RackId, RegistryMember, RegistryStatus, RouteTable,
};
use bookmesh_rpc::mesh::{Context, ItemSink};
use bookmesh_rpc::orks::Orks;
use bookmesh_rpc::{Mesh, PeerId};
use bookmesh_storage::view::Registry;
use tokio::sync::{Notify, watch};

use super::heard::{Heard, Judgement, Urgency, judge};
use crate::consensus::Group;
use crate::consensus::membership::{leader_in, members_in, state_in};
use crate::consensus::proposer::now_ms;

/// What one announcement may hold.
const MAX_RACKS: usize = 256;
const MAX_MEMBERS: usize = 128;
const MAX_ADDRESSES: usize = 32;
const MAX_TEXT_BYTES: usize = 256;
/// How long a watcher may be without news before it is told the same again, so that both ends
/// find out when the other is gone.
const REMINDER: Duration = Duration::from_secs(10);
/// How often it is looked for what changed without a word: counts, and nodes that fell silent.
const BEAT: Duration = Duration::from_secs(1);
/// Changes that come together are told as one.
const GATHER: Duration = Duration::from_millis(20);

/// An orchestrator.
pub struct Ork {
    pub(super) mesh: Mesh,
    pub(super) orks: Arc<Orks>,
    /// How many orchestrators form the registry.
    pub(super) wanted: usize,
    state: RwLock<State>,
    heard: Mutex<Heard>,
    routes: watch::Sender<Arc<RouteTable>>,
    /// There is something to tell watchers at once.
    news: Notify,
    /// Since it has caught up with the registry: the moment from which on it gives numbers.
    current: watch::Sender<Option<Instant>>,
}

/// How it stands with the registry.
struct State {
    group: Option<Arc<Group<Registry>>>,
    /// When that last changed.
    group_since: Instant,
    stage: OrkStage,
    incarnation: Incarnation,
    founding: Option<Incarnation>,
    rival: Option<Incarnation>,
    notice: Option<String>,
}

/// Where an orchestrator is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrkStage {
    /// It is no member of a registry yet; the text says what it waits for.
    Waiting(String),
    /// Its member runs.
    Seated,
    /// It can't go on, and an operator has to look; the text says at what.
    Failed(String),
    /// It was taken out of the registry, since it is about to stop.
    Left,
}

impl Ork {
    /// An orchestrator that is a member of no registry yet.
    pub fn new(mesh: Mesh, wanted: usize) -> Arc<Self> {
        let state = State {
            group: None,
            group_since: Instant::now(),
            stage: OrkStage::Waiting("starting".into()),
            incarnation: Incarnation::default(),
            founding: None,
            rival: None,
            notice: None,
        };
        Arc::new(Self {
            orks: Arc::new(Orks::new(mesh.clone())),
            mesh,
            wanted,
            state: RwLock::new(state),
            heard: Mutex::default(),
            routes: watch::Sender::default(),
            news: Notify::new(),
            current: watch::Sender::new(None),
        })
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        write(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The registry's group.
    ///
    /// # Errors
    /// [`ApiError::NotRegistryLeader`] without a hint, while this node has no member of it.
    pub fn group(&self) -> Result<Arc<Group<Registry>>, ApiError> {
        let group = self.read(|state| state.group.clone());
        group.ok_or(ApiError::NotRegistryLeader { leader: None })
    }

    pub(super) fn set_group(&self, group: Option<Arc<Group<Registry>>>) {
        self.write(|state| (state.group, state.group_since) = (group, Instant::now()));
    }

    /// How long it has had no member here, while it has none.
    pub(super) fn memberless(&self) -> Duration {
        self.read(|state| state.group_since.elapsed())
    }

    /// Where it is in its life.
    pub fn stage(&self) -> OrkStage {
        self.read(|state| state.stage.clone())
    }

    pub(super) fn set_stage(&self, stage: OrkStage) {
        self.write(|state| state.stage = stage);
    }

    /// This node's data, and those with which its registry began.
    pub(super) fn set_identity(&self, incarnation: Incarnation, founding: Option<Incarnation>) {
        self.write(|state| (state.incarnation, state.founding) = (incarnation, founding));
    }

    /// Another registry than this one's, if one was met lately.
    pub fn rival(&self) -> Option<Incarnation> {
        self.read(|state| state.rival)
    }

    pub(super) fn set_rival(&self, rival: Option<Incarnation>) {
        self.write(|state| state.rival = rival);
    }

    /// What an operator should know although it works.
    pub fn notice(&self) -> Option<String> {
        self.read(|state| state.notice.clone())
    }

    pub(super) fn set_notice(&self, notice: Option<String>) {
        let news = self.write(|state| std::mem::replace(&mut state.notice, notice.clone()));
        if let Some(notice) = notice.filter(|notice| news.as_ref() != Some(notice)) {
            tracing::warn!("{notice}");
        }
    }

    /// Since it has caught up with the registry: the moment from which on unknown racks get
    /// numbers.
    pub fn current(&self) -> watch::Receiver<Option<Instant>> {
        self.current.subscribe()
    }

    pub(super) fn set_current(&self, numbers_from: Option<Instant>) {
        self.current.send_replace(numbers_from);
    }

    /// The routes, as they change.
    pub fn routes(&self) -> watch::Receiver<Arc<RouteTable>> {
        self.routes.subscribe()
    }

    /// Orchestrators that are known, by the DHT and by what they said.
    pub(super) fn others(&self) -> Vec<PeerId> {
        let mut all = self.heard().orks();
        all.extend(self.orks.known());
        all.sort_unstable();
        all.dedup();
        all.retain(|ork| *ork != self.mesh.peer_id());
        all
    }

    /// The node that leads a rack, as far as it was heard; and all that hold it.
    pub(super) fn holders(&self, rack: &RackId) -> (Option<PeerId>, Vec<PeerId>) {
        let heard = self.heard();
        (heard.leader(rack), heard.holders(rack))
    }

    /// How this orchestrator stands with the registry.
    pub fn registry(&self) -> RegistryStatus {
        let (group, stage, incarnation, founding) = self.read(|state| {
            (state.group.clone(), state.stage.clone(), state.incarnation, state.founding)
        });
        let wanted = u8::try_from(self.wanted).unwrap_or(u8::MAX);
        let member = group.zip(founding).map(|(group, founding)| {
            let metrics = group.metrics();
            let metrics = metrics.borrow();
            let seated = stage == OrkStage::Seated;
            RegistryMember {
                founding,
                member: group.member(),
                state: if seated { state_in(&metrics) } else { MemberState::Joining },
                term: metrics.current_term,
                leader: leader_in(&metrics),
                members: members_in(&metrics),
                last_index: metrics.last_log_index.unwrap_or(0),
                applied_index: group.read(|shown| shown.applied.map_or(0, |id| id.index)),
            }
        });
        RegistryStatus { incarnation, wanted, member }
    }

    pub(super) async fn announced(
        &self,
        from: PeerId,
        context: &Context,
        announce: Announce,
    ) -> Result<Announced, ApiError> {
        check_size(&announce)?;
        if announce.role == NodeRole::Ork {
            self.orks.name(&[from], Instant::now());
        }
        let group = self.group().ok();
        let (answer, news) = self.hear(from, announce, group.as_deref());
        if let Some(group) = group.filter(|_| !news.is_empty()) {
            self.adopt(&group, from, &context.request_id, news).await;
        }
        Ok(answer)
    }

    /// Takes an announcement in. Answers it, and names the racks that the registry has to be told
    /// of.
    fn hear(
        &self,
        from: PeerId,
        announce: Announce,
        group: Option<&Group<Registry>>,
    ) -> (Announced, Vec<MemberStatus>) {
        let Announce { role, version, addresses, racks } = announce;
        let names = racks.iter().map(|status| status.rack.clone()).collect();
        let info =
            NodeInfo { peer: from, role, version, addresses, racks: names, last_seen_ms: now_ms() };
        let mut heard = self.heard();
        let Some(group) = group else {
            heard.hear(info, racks, Instant::now());
            return Default::default();
        };
        group.read(|shown| {
            let mut answer = Announced {
                registry: shown.view.founding(),
                applied_index: shown.applied.map_or(0, |id| id.index),
                settings: shown.view.settings(),
                ..Announced::default()
            };
            let mut news = Vec::new();
            for status in &racks {
                match judge(shown.view.get(&status.rack), status.charter) {
                    Judgement::Counts => {}
                    Judgement::News => news.push(status.clone()),
                    Judgement::Superseded => answer.superseded.push(status.rack.clone()),
                    Judgement::Retired => answer.retired.push(status.rack.clone()),
                }
            }
            let concerned = heard.hear(info, racks, Instant::now());
            self.told(heard.update(concerned, |id| shown.view.get(id).cloned()));
            (answer, news)
        })
    }

    fn told(&self, urgency: Urgency) {
        if urgency == Urgency::Now {
            self.news.notify_one();
        }
    }

    /// Works out all routes anew, since the registry has changed.
    pub(super) fn refresh(&self) {
        let Ok(group) = self.group() else { return };
        let mut heard = self.heard();
        let urgency = group.read(|shown| {
            let all = shown.view.list().map(|info| info.id.clone());
            let all: Vec<_> = all.chain(heard.routed()).collect();
            heard.update(all, |id| shown.view.get(id).cloned())
        });
        drop(heard);
        self.told(urgency);
    }

    /// Tells the watchers what changed: soon when it is a leader, else with the next beat. Runs
    /// until it is dropped.
    pub async fn publish(self: Arc<Self>) {
        loop {
            if tokio::time::timeout(BEAT, self.news.notified()).await.is_ok() {
                tokio::time::sleep(GATHER).await;
            } else {
                self.expire();
            }
            let table = self.heard().table();
            self.routes.send_if_modified(|routes| {
                let changed = **routes != table;
                if changed {
                    *routes = Arc::new(table);
                }
                changed
            });
        }
    }

    fn expire(&self) {
        let mut heard = self.heard();
        let concerned = heard.expire(Instant::now());
        if let Ok(group) = self.group() {
            group.read(|shown| heard.update(concerned, |id| shown.view.get(id).cloned()));
        }
    }

    /// Everyone who was heard of, and this node itself.
    pub(super) fn nodes(&self) -> Vec<NodeInfo> {
        let me = NodeInfo {
            peer: self.mesh.peer_id(),
            role: NodeRole::Ork,
            version: env!("CARGO_PKG_VERSION").into(),
            addresses: self.mesh.addresses(),
            racks: Vec::new(),
            last_seen_ms: now_ms(),
        };
        self.heard().nodes().into_iter().chain([me]).collect()
    }

    /// One that has not caught up would show a gateway fewer racks than there are.
    pub(super) async fn watch_routes(&self, mut items: ItemSink) -> Result<(), ApiError> {
        let current = *self.current.borrow();
        let Some(numbers_from) = current else {
            return Err(ApiError::NotRegistryLeader { leader: None });
        };
        // A new registry knows of no racks only because nobody has told it of them yet.
        tokio::time::sleep_until(numbers_from.into()).await;
        let mut routes = self.routes();
        loop {
            let table = routes.borrow_and_update().clone();
            if items.send(&*table).await.is_err() {
                return Ok(());
            }
            // An error is the deadline: say the same again.
            if let Ok(Err(_)) = tokio::time::timeout(REMINDER, routes.changed()).await {
                return Ok(());
            }
        }
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

/// The racks that an orchestrator knows of and that have no leader now.
pub fn leaderless(table: &RouteTable) -> Vec<RackId> {
    let without = table.racks.iter().filter(|route| route.confirmed && route.leader.is_none());
    without.map(|route| route.id.clone()).collect()
}
