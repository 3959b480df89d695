//! A rack's view: its things, or its orders.

mod founded;
mod history;
mod keyed;
mod listing;
#[cfg(test)]
mod listing_tests;
mod orders;
mod removal;
mod saved;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, Charter, Incarnation, Info, Kind, Lineage, MemberId,
    NewThing, OnConflict, Outcome, Position, RackId, Registered, Status, StatusRule, Thing,
    ThingId, ThingPatch, import_key,
};
use bytes::Bytes;

use self::founded::{Founded, unfounded};
pub use self::history::NotedChange;
use self::orders::Orders;
use self::saved::Item;
use super::changes::Changes;
use super::client_keys::ClientKeys;
use super::edit::{check_limits, edited, takeover};
use super::index::Index;
use super::members::Members;
use super::parts::{PartWriter, RestoreError, items};
use super::remembered::Remembered;
use super::{View, foreign};

/// Encoded bytes that one slice of a checkpoint has, about.
const SLICE_BYTES: usize = 256 * 1024;
/// Changed things and remembered keys that the end of a delta may have: about as long to make as
/// a slice or two, and more than what comes while a slice is written.
const LAST_THINGS: usize = 500;
const LAST_KEYS: usize = 2_000;
/// Changes, likewise: each is a few bytes.
const LAST_CHANGES: usize = 10_000;
/// What a slice goes on with behind the last thing or order: a change's number. Ids are below.
const CHANGES: u64 = 1 << 63;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Things {
    founded: Option<Founded>,
    members: Members,
    things: BTreeMap<ThingId, Arc<Thing>>,
    orders: Orders,
    /// Active ones, by name and author: several copies may share a key, and the lowest id stands
    /// for them.
    by_import_key: BTreeSet<([u8; 16], ThingId)>,
    /// The last id given.
    sequence: u64,
    /// The latest time of all entries.
    time_ms: u64,
    applied_index: Option<u64>,
    remembered: Remembered,
    clients: ClientKeys,
    changes: Changes,
    index: Index,
    /// Changed or removed since the last checkpoint.
    dirty: BTreeSet<ThingId>,
}

/// Checkpoints are bookkeeping, no part of what a log adds up to, and the index follows from the
/// things.
impl PartialEq for Things {
    fn eq(&self, other: &Self) -> bool {
        self.founded == other.founded
            && self.members.same(&other.members)
            && self.things == other.things
            && self.orders == other.orders
            && self.by_import_key == other.by_import_key
            && (self.sequence, self.time_ms) == (other.sequence, other.time_ms)
            && self.applied_index == other.applied_index
            && self.remembered.same(&other.remembered)
            && self.clients.same(&other.clients)
            && self.changes.same(&other.changes)
    }
}

impl Things {
    /// The thing with this id, unless it was withdrawn.
    pub fn get(&self, id: ThingId) -> Option<&Arc<Thing>> {
        self.things.get(&id).filter(|thing| thing.active)
    }

    /// How many things and orders there are.
    pub fn len(&self) -> usize {
        self.things.len() + self.orders.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rack's name, once founded.
    pub fn rack(&self) -> Option<&RackId> {
        self.founded.as_ref().map(|founded| &founded.rack)
    }

    /// What it holds, once founded.
    pub fn kind(&self) -> Option<Kind> {
        self.founded.as_ref().map(|founded| founded.kind)
    }

    /// Its number within its kind, once founded.
    pub fn number(&self) -> Option<u32> {
        self.charter().map(|charter| charter.number)
    }

    /// What this log says it is, once founded.
    pub fn charter(&self) -> Option<Charter> {
        self.founded.as_ref().map(|founded| founded.charter)
    }

    /// Whether the rack was retired: it takes no more writes.
    pub fn closed(&self) -> bool {
        self.founded.as_ref().is_some_and(|founded| founded.closed)
    }

    /// Whether its founding was confirmed: before that nothing may be acknowledged to users.
    pub fn confirmed(&self) -> bool {
        self.founded.as_ref().is_some_and(|founded| founded.confirmed)
    }

    /// The member number that a node's data were given.
    pub fn member_of(&self, peer: PeerId, incarnation: Incarnation) -> Option<MemberId> {
        let number = self.members.number_of(peer, incarnation);
        number.filter(|number| !self.given_up().contains(*number))
    }

    fn act(&mut self, action: &Action) -> Outcome {
        match action {
            Action::FoundRack { rack, kind, number, founding } => {
                let lineage = Lineage { founding: *founding, recoveries: 0 };
                self.found(rack, *kind, Charter { number: *number, lineage })
            }
            Action::RecoverRack { member } => self.recover(*member),
            Action::CloseRack { force } => self.close(*force),
            Action::AdmitMember { peer, incarnation } => {
                self.members.admit_but(self.given_up(), *peer, *incarnation).map(Applied::Member)
            }
            Action::Register { thing, on_conflict } => {
                self.open(Kind::Book)?;
                self.register(thing, *on_conflict)
            }
            Action::Update { id, patch, status_rule, if_version } => {
                self.open(Kind::Book)?;
                self.update(*id, patch, *status_rule, *if_version)
            }
            Action::Forget { ids, if_version } => {
                self.open(Kind::Book)?;
                self.forget(ids, *if_version)
            }
            Action::Withdraw { id, if_version } => {
                self.open(Kind::Book)?;
                self.withdraw(*id, *if_version)
            }
            Action::PlaceOrder { terms } => self.place_order(terms),
            Action::Settle => Ok(Applied::Done),
            Action::ConfirmRack { rack, .. } => self.confirm(rack),
            Action::RegisterRack { .. }
            | Action::RetireRack { .. }
            | Action::SetSettings { .. }
            | Action::BeginRegistry { .. } => Err(foreign("rack")),
        }
    }

    fn register(&mut self, new: &NewThing, on_conflict: OnConflict) -> Outcome {
        let key = import_key(&new.name, &new.author);
        if let Some(there) = self.with_import_key(&key).cloned() {
            match on_conflict {
                OnConflict::Allow => {}
                OnConflict::Fail => return Err(ApiError::Conflict { id: there.id }),
                OnConflict::Skip => return Ok(Applied::Registered(Registered::Skipped, there)),
                OnConflict::Update => {
                    let patch = takeover(new, &there);
                    let thing = self.change(&there, &patch, StatusRule::Edit)?;
                    return Ok(Applied::Registered(Registered::Updated, thing));
                }
            }
        }
        let thing = Arc::new(self.make(new)?);
        self.sequence = thing.id.sequence();
        self.by_import_key.insert((key, thing.id));
        self.put(thing.clone());
        Ok(Applied::Registered(Registered::Created, thing))
    }

    /// The lowest of those with this key.
    fn with_import_key(&self, key: &[u8; 16]) -> Option<&Arc<Thing>> {
        let lowest = |id| (*key, id);
        let from = ThingId::from_u64(1).ok().map(lowest)?;
        let (found, id) = self.by_import_key.range(from..).next()?;
        if found == key { self.things.get(id) } else { None }
    }

    fn make(&self, new: &NewThing) -> Result<Thing, ApiError> {
        let Founded { kind, charter, .. } = self.founded.as_ref().ok_or_else(unfounded)?;
        let checked_out = new.status == Status::CheckedOut;
        let thing = Thing {
            id: ThingId::new(charter.number, self.sequence + 1)?,
            kind: *kind,
            tags: new.tags.clone(),
            info: Info {
                name: new.name.clone(),
                author: new.author.clone(),
                status: new.status,
                holder: new.holder.clone().filter(|_| checked_out),
                created_at_ms: self.time_ms,
                updated_at_ms: self.time_ms,
                extra: new.extra.clone(),
            },
            version: 1,
            active: true,
        };
        check_limits(&thing)?;
        Ok(thing)
    }

    fn update(
        &mut self,
        id: ThingId,
        patch: &ThingPatch,
        rule: StatusRule,
        if_version: Option<u64>,
    ) -> Outcome {
        let thing = self.active_at(id, if_version)?.clone();
        self.change(&thing, patch, rule).map(Applied::Thing)
    }

    fn active_at(&self, id: ThingId, wanted: Option<u64>) -> Result<&Arc<Thing>, ApiError> {
        // What is gone for readers has no version for them either.
        self.get(id).ok_or(ApiError::ThingNotFound { id })?;
        self.at_version(id, wanted)
    }

    fn at_version(&self, id: ThingId, wanted: Option<u64>) -> Result<&Arc<Thing>, ApiError> {
        let thing = self.things.get(&id).ok_or(ApiError::ThingNotFound { id })?;
        match wanted {
            Some(wanted) if wanted != thing.version => {
                Err(ApiError::VersionMismatch { id, version: thing.version })
            }
            _ => Ok(thing),
        }
    }

    fn change(
        &mut self,
        thing: &Arc<Thing>,
        patch: &ThingPatch,
        rule: StatusRule,
    ) -> Result<Arc<Thing>, ApiError> {
        let Some(changed) = edited(thing, patch, rule, self.time_ms)? else {
            return Ok(thing.clone());
        };
        let changed = Arc::new(changed);
        if patch.name.is_some() || patch.author.is_some() {
            self.by_import_key.remove(&import_entry(thing));
            self.by_import_key.insert(import_entry(&changed));
        }
        self.put(changed.clone());
        Ok(changed)
    }

    fn put(&mut self, thing: Arc<Thing>) {
        self.changes.note(thing.id.sequence());
        self.dirty.insert(thing.id);
        let before = self.things.insert(thing.id, thing.clone());
        self.index.replace(before.as_deref(), Some(&thing));
    }
}

impl View for Things {
    fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Outcome> {
        self.time_ms = self.time_ms.max(batch.time_ms);
        self.remembered.expire(self.time_ms);
        self.clients.expire(self.time_ms);
        self.applied_index = Some(index);
        let answers = (0..).zip(&batch.commands).map(|(part, command)| {
            self.changes.begin_command(Position { index, part });
            self.answer(command)
        });
        answers.collect()
    }

    fn pass(&mut self, index: u64) {
        self.applied_index = Some(index);
    }

    fn applied_index(&self) -> Option<u64> {
        self.applied_index
    }

    fn begin_full(&mut self) {
        self.dirty.clear();
        self.members.begin_full();
        self.remembered.begin_full();
        self.clients.begin_full();
        self.changes.begin_full();
    }

    fn slice(&self, after: Option<u64>) -> (Vec<Bytes>, Option<u64>) {
        let mut parts = PartWriter::default();
        if let Some(number) = after.and_then(|after| after.checked_sub(CHANGES)) {
            let next = self.changes.give_old(number, &mut parts, SLICE_BYTES, Item::Changes);
            return (parts.finish(), next.map(|number| CHANGES + number));
        }
        let after = after.and_then(|id| ThingId::from_u64(id).ok());
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        for (id, thing) in self.things.range((from, Bound::Unbounded)) {
            parts.push(&Item::Thing(thing.clone()));
            if parts.bytes() >= SLICE_BYTES {
                return (parts.finish(), Some(id.get()));
            }
        }
        for order in self.orders.above(after) {
            parts.push(&Item::Order(order.clone()));
            if parts.bytes() >= SLICE_BYTES {
                return (parts.finish(), Some(order.id.get()));
            }
        }
        let next = self.changes.give_old(0, &mut parts, SLICE_BYTES, Item::Changes);
        (parts.finish(), next.map(|number| CHANGES + number))
    }

    fn delta_slice(&mut self) -> Option<Vec<Bytes>> {
        let mut parts = PartWriter::default();
        if self.dirty.len() > LAST_THINGS {
            self.give_dirty(&mut parts, SLICE_BYTES);
        } else if self.remembered.unsaved() > LAST_KEYS {
            self.give_remembered(&mut parts, SLICE_BYTES);
        } else if self.clients.unsaved() > LAST_KEYS {
            self.give_clients(&mut parts, SLICE_BYTES);
        } else if self.changes.unsaved() > LAST_CHANGES {
            self.changes.give_unsaved(&mut parts, SLICE_BYTES, Item::Changes);
        } else {
            return None;
        }
        Some(parts.finish())
    }

    fn take_delta(&mut self) -> Vec<Bytes> {
        let mut parts = PartWriter::default();
        self.give_dirty(&mut parts, usize::MAX);
        for member in self.members.unsaved() {
            parts.push(&Item::Member(member.clone()));
        }
        self.give_remembered(&mut parts, usize::MAX);
        self.give_clients(&mut parts, usize::MAX);
        self.changes.give_unsaved(&mut parts, usize::MAX, Item::Changes);
        parts.push(&Item::State {
            founded: self.founded.clone(),
            sequence: self.sequence,
            time_ms: self.time_ms,
            applied_index: self.applied_index,
            remembered_from: self.remembered.first(),
            floors: self.remembered.floors(),
            clients: self.clients.bounds(),
        });
        self.members.set_saved();
        parts.finish()
    }

    fn restore(&mut self, part: &[u8]) -> Result<(), RestoreError> {
        items(part).try_for_each(|item| self.restore_item(item?))
    }
}

fn import_entry(thing: &Thing) -> ([u8; 16], ThingId) {
    (import_key(&thing.info.name, &thing.info.author), thing.id)
}
