//! A rack of one member, in memory, that does what a test's script says first.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Batch, ChangePage, Charter, Command, ForgetThings, Hash, Incarnation, Info,
    KeyId, Kind, Lineage, ListThings, LogPage, LogRecord, Member, MemberRole, MemberState,
    MemberStatus, NewThing, OnConflict, Position, RackId, RecordKind, Registered, Reply, Request,
    RequestId, RequestKey, Settled, Since, Status, StatusRule, StreamRequest, Thing, ThingId,
    ThingList, ThingRead, UpdateThing, WithdrawThing, import_key,
};
use bookmesh_rpc::codec;
use bookmesh_rpc::mesh::{BoxFuture, Context, ItemSink, Service};
use tokio::sync::watch;

/// What the next call meets instead of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    Error(ApiError),
    /// No answer, ever.
    Silence,
    /// The write is carried out, and its answer lost.
    LostAnswer,
}

#[derive(Debug)]
pub(crate) struct FakeWorker {
    pub(crate) rack: RackId,
    number: u32,
    pub(crate) peer: PeerId,
    /// Once each, in order.
    pub(crate) script: Mutex<VecDeque<Mishap>>,
    /// For every call, while set.
    pub(crate) always: Mutex<Option<Mishap>>,
    pub(crate) asked: Mutex<Vec<(RequestId, Request)>>,
    /// What it says of itself, instead of that it leads its rack alone.
    pub(crate) claim: Mutex<Option<MemberStatus>>,
    state: Arc<Mutex<State>>,
    committed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    things: BTreeMap<ThingId, Arc<Thing>>,
    sequence: u64,
    done: HashMap<RequestKey, Result<Reply, ApiError>>,
    /// For which request each client's key was given.
    fingerprints: HashMap<KeyId, [u8; 16]>,
    log: Vec<LogRecord>,
}

impl FakeWorker {
    pub(crate) fn new(rack: &str, number: u32, peer: PeerId) -> Arc<Self> {
        Arc::new(Self {
            rack: rack.parse().unwrap(),
            number,
            peer,
            script: Mutex::default(),
            always: Mutex::default(),
            asked: Mutex::default(),
            claim: Mutex::default(),
            state: Arc::default(),
            committed: watch::Sender::new(0),
        })
    }

    /// Another member of the same rack.
    pub(crate) fn twin(&self, peer: PeerId) -> Arc<Self> {
        let twin = Self::new(self.rack.as_str(), self.number, peer);
        let mut twin = Arc::into_inner(twin).unwrap();
        twin.state = self.state.clone();
        Arc::new(twin)
    }

    pub(crate) fn will(&self, mishap: Mishap) {
        self.script.lock().unwrap().push_back(mishap);
    }

    pub(crate) fn fails(&self, error: ApiError) {
        self.will(Mishap::Error(error));
    }

    /// From here on it says this of itself: its own status, changed.
    pub(crate) fn claims(&self, change: impl FnOnce(&mut MemberStatus)) {
        let mut status = self.status(&self.state.lock().unwrap());
        change(&mut status);
        *self.claim.lock().unwrap() = Some(status);
    }

    /// The last request that was not about membership.
    pub(crate) fn last_asked(&self) -> (RequestId, Request) {
        let asked = self.asked.lock().unwrap();
        let about_things = |request: &Request| !matches!(request, Request::GetMember(_));
        asked.iter().rev().find(|(_, request)| about_things(request)).cloned().unwrap()
    }

    /// How many calls there were of a method.
    pub(crate) fn count(&self, method: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(_, request)| request.method() == method).count()
    }

    fn answer(&self, context: &Context, request: Request) -> Result<Reply, ApiError> {
        let mut state = self.state.lock().unwrap();
        if let Some(reply) = super::fake_orders::answer(self.number, &request) {
            return Ok(reply);
        }
        match request {
            Request::GetMember(_) => Ok(Reply::GetMember(self.status(&state))),
            Request::RecoverRack(_) => {
                *self.claim.lock().unwrap() = None;
                Ok(Reply::RecoverRack(self.status(&state)))
            }
            Request::GetThing(get) => {
                let thing = state.things.get(&get.id).cloned();
                let thing = thing.ok_or(ApiError::ThingNotFound { id: get.id })?;
                Ok(Reply::GetThing(ThingRead { thing, applied_index: state.log.len() as u64 }))
            }
            Request::ListThings(list) => Ok(Reply::ListThings(page(&state, &list))),
            Request::ReadLog(read) => {
                let from = (read.from as usize).min(state.log.len());
                let records = state.log[from..].iter().take(read.limit as usize).cloned();
                Ok(Reply::ReadLog(LogPage {
                    records: records.collect(),
                    previous: if from == 0 { Hash::ZERO } else { state.log[from - 1].hash },
                    committed_index: state.log.len().saturating_sub(1) as u64,
                }))
            }
            write => self.write(&mut state, context, write),
        }
    }

    /// Applies a write once for its key.
    fn write(
        &self,
        state: &mut State,
        context: &Context,
        request: Request,
    ) -> Result<Reply, ApiError> {
        let key = match &request {
            Request::RegisterThing(register) => register.key,
            Request::RegisterThings(register) => register.key,
            Request::UpdateThing(update) => update.key,
            Request::ForgetThings(forget) => forget.key,
            Request::SettleKey(settle) => RequestKey::Client(settle.key),
            Request::WithdrawThing(withdraw) => withdraw.key,
            other => return Err(ApiError::NotServed { method: other.method().into() }),
        };
        if let RequestKey::Client(key) = key
            && *state.fingerprints.entry(key.id).or_insert(key.fingerprint) != key.fingerprint
        {
            return Err(ApiError::KeyConflict);
        }
        if let Some(done) = state.done.get(&key) {
            return match (done, &request) {
                (Ok(Reply::RegisterThing(thing)), Request::SettleKey(_)) => {
                    Ok(Reply::SettleKey(Settled::Thing(thing.clone())))
                }
                _ => done.clone(),
            };
        }
        let outcome = match request {
            Request::RegisterThing(register) => {
                let (_, thing) = self.register(state, register.thing, OnConflict::Allow)?;
                Ok(Reply::RegisterThing(thing))
            }
            Request::RegisterThings(all) => {
                let each = all.things.into_iter();
                let each = each.map(|thing| {
                    let (how, thing) = self.register(state, thing, all.on_conflict)?;
                    Ok((how, thing.id))
                });
                Ok(Reply::RegisterThings(each.collect()))
            }
            Request::UpdateThing(change) => update(state, change).map(Reply::UpdateThing),
            Request::ForgetThings(ids) => forget(state, &ids).map(Reply::ForgetThings),
            Request::WithdrawThing(WithdrawThing { id, .. }) => {
                let thing = state.things.get_mut(&id).ok_or(ApiError::ThingNotFound { id })?;
                Arc::make_mut(thing).active = false;
                Ok(Reply::WithdrawThing(thing.clone()))
            }
            Request::SettleKey(_) => Ok(Reply::SettleKey(Settled::Nothing)),
            _ => unreachable!("the key was taken from one of these"),
        };
        state.done.insert(key, outcome.clone());
        self.append(state, context);
        outcome
    }

    fn register(
        &self,
        state: &mut State,
        new: NewThing,
        on_conflict: OnConflict,
    ) -> Result<(Registered, Arc<Thing>), ApiError> {
        let key = import_key(&new.name, &new.author);
        let same = |thing: &&Arc<Thing>| import_key(&thing.info.name, &thing.info.author) == key;
        let known = state.things.values().find(same).cloned();
        match (known, on_conflict) {
            (Some(known), OnConflict::Skip) => return Ok((Registered::Skipped, known)),
            (Some(known), OnConflict::Fail) => return Err(ApiError::Conflict { id: known.id }),
            (_, OnConflict::Allow | OnConflict::Skip | OnConflict::Update | OnConflict::Fail) => {}
        }
        state.sequence += 1;
        let id = ThingId::new(self.number, state.sequence)?;
        let info = Info {
            name: new.name,
            author: new.author,
            status: new.status,
            holder: new.holder,
            created_at_ms: 1_000,
            updated_at_ms: 1_000,
            extra: new.extra,
        };
        let thing = Arc::new(Thing {
            id,
            kind: Kind::Book,
            tags: new.tags,
            info,
            version: 1,
            active: true,
        });
        state.things.insert(id, thing.clone());
        Ok((Registered::Created, thing))
    }

    fn append(&self, state: &mut State, context: &Context) {
        let action = Action::Forget { ids: Vec::new(), if_version: None };
        let request_id = context.request_id.clone();
        let commands = vec![Command { key: None, request_id, action }];
        let bytes = codec::encode(&Batch { time_ms: 1_000, commands }).unwrap();
        let previous = state.log.last().map_or(Hash::ZERO, |record| record.hash);
        state.log.push(LogRecord {
            index: state.log.len() as u64,
            term: 1,
            kind: RecordKind::Commands,
            hash: previous.extend(&bytes),
            commands: bytes.into(),
        });
        self.committed.send_replace(state.log.len() as u64);
    }

    fn status(&self, state: &State) -> MemberStatus {
        if let Some(claim) = self.claim.lock().unwrap().clone() {
            return claim;
        }
        let index = state.log.len() as u64;
        MemberStatus {
            rack: self.rack.clone(),
            kind: Kind::Book,
            charter: Some(charter(self.number)),
            member: 1,
            state: MemberState::Leader,
            term: 1,
            leader: Some(self.peer),
            members: vec![Member { member: 1, peer: self.peer, role: MemberRole::Voter }],
            last_index: index,
            last_term: 1,
            committed_index: index,
            applied_index: index,
            head_hash: state.log.last().map_or(Hash::ZERO, |record| record.hash),
            things: state.things.len() as u64,
            writable: true,
            blocked_by: Vec::new(),
        }
    }
}

fn charter(number: u32) -> Charter {
    let lineage = Lineage { founding: Incarnation::default(), recoveries: 0 };
    Charter { number, lineage }
}

fn page(state: &State, list: &ListThings) -> ThingList {
    let matches = |thing: &&Arc<Thing>| {
        list.filter.tags.iter().all(|tag| thing.tags.contains(tag))
            && list.filter.status.is_none_or(|status| thing.info.status == status)
    };
    let all: Vec<_> = state.things.values().filter(matches).cloned().collect();
    let above = all.iter().filter(|thing| list.after.is_none_or(|after| thing.id > after));
    let things = above.skip(list.offset as usize).take(list.limit as usize).cloned().collect();
    let applied_index = state.log.len() as u64;
    ThingList { things, total: all.len() as u64, cut: false, applied_index }
}

fn update(state: &mut State, change: UpdateThing) -> Result<Arc<Thing>, ApiError> {
    let id = change.id;
    let thing = state.things.get_mut(&id).ok_or(ApiError::ThingNotFound { id })?;
    let version = thing.version;
    if change.if_version.is_some_and(|wanted| wanted != version) {
        return Err(ApiError::VersionMismatch { id, version });
    }
    let exclusive = change.status_rule == StatusRule::Exclusive;
    match change.patch.status {
        Some(Status::CheckedOut) if exclusive && thing.info.status == Status::CheckedOut => {
            return Err(ApiError::CheckedOut { id });
        }
        Some(Status::Available) if exclusive && thing.info.status == Status::Available => {
            return Err(ApiError::NotCheckedOut { id });
        }
        _ => {}
    }
    let thing = Arc::make_mut(thing);
    let patch = change.patch;
    thing.version += 1;
    thing.tags = patch.tags.unwrap_or(std::mem::take(&mut thing.tags));
    thing.info.name = patch.name.unwrap_or(std::mem::take(&mut thing.info.name));
    thing.info.status = patch.status.unwrap_or(thing.info.status);
    thing.info.holder = patch.holder.unwrap_or(thing.info.holder.take());
    for (key, value) in patch.extra {
        match value {
            Some(value) => drop(thing.info.extra.insert(key, value)),
            None => drop(thing.info.extra.remove(&key)),
        }
    }
    Ok(Arc::new(thing.clone()))
}

fn forget(state: &mut State, forget: &ForgetThings) -> Result<Vec<Arc<Thing>>, ApiError> {
    let id = forget.ids[0];
    let version = state.things.get(&id).ok_or(ApiError::ThingNotFound { id })?.version;
    if forget.if_version.is_some_and(|wanted| wanted != version) {
        return Err(ApiError::VersionMismatch { id, version });
    }
    Ok(state.things.remove(&id).into_iter().collect())
}

impl Service for FakeWorker {
    fn call(
        self: Arc<Self>,
        _from: PeerId,
        context: Context,
        request: Request,
    ) -> BoxFuture<'static, Result<Reply, ApiError>> {
        Box::pin(async move {
            self.asked.lock().unwrap().push((context.request_id.clone(), request.clone()));
            let is_status = matches!(request, Request::GetMember(_));
            let next = if is_status { None } else { self.script.lock().unwrap().pop_front() };
            let mishap = next.or_else(|| self.always.lock().unwrap().clone());
            match mishap {
                None => self.answer(&context, request),
                Some(Mishap::Error(error)) => Err(error),
                Some(Mishap::Silence) => std::future::pending().await,
                Some(Mishap::LostAnswer) => {
                    let _ = self.answer(&context, request);
                    std::future::pending().await
                }
            }
        })
    }

    fn stream(
        self: Arc<Self>,
        _from: PeerId,
        _context: Context,
        request: StreamRequest,
        mut items: ItemSink,
    ) -> BoxFuture<'static, Result<(), ApiError>> {
        Box::pin(async move {
            let tail = match request {
                StreamRequest::TailLog(tail) => tail,
                StreamRequest::WatchChanges(watch) => return recovered(watch.from, items).await,
                other => return Err(ApiError::NotServed { method: other.method().into() }),
            };
            let mut committed = self.committed.subscribe();
            let mut next = tail.from as usize;
            loop {
                committed.borrow_and_update();
                let news: Vec<_> =
                    self.state.lock().unwrap().log.iter().skip(next).cloned().collect();
                next += news.len();
                for record in news {
                    if items.send(&record).await.is_err() {
                        return Ok(());
                    }
                }
                if committed.changed().await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

/// Tells as a rack does that is recovered, meanwhile, from a member that had less: the watch ends,
/// and its log never comes to where it was told up to. Like a real one it takes a moment to say so,
/// when the stream is open already.
async fn recovered(from: Since, mut items: ItemSink) -> Result<(), ApiError> {
    tokio::task::yield_now().await;
    match from {
        Since::After(_) => Err(ApiError::invalid("from", "is ahead of the log")),
        Since::Beginning | Since::Now => {
            let page = ChangePage { changes: Vec::new(), through: Position::end_of(9) };
            // A reader that is gone is no fault.
            let _ = items.send(&page).await;
            Ok(())
        }
    }
}
