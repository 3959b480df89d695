//! The orchestrators' view: which racks there are, and their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{
    Action, ApiError, Applied, Batch, Charter, Command, Incarnation, Kind, MAX_RACKS_OF_A_TYPE,
    MemberId, Outcome, RackId, RackInfo, RequestKey, Settings,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::floors::Floors;
use super::members::{Admitted, Members};
use super::parts::{PartWriter, RestoreError, items};
use super::remembered::{Remembered, RetryItem};
use super::{View, foreign};

/// How long a founder has, by the entries' time, before another may take its place.
pub const FOUNDER_PATIENCE_MS: u64 = 10_000;

/// A rack, and what only its founding needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    info: RackInfo,
    /// When this founder asked first.
    since_ms: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// The data with which it began; `None` before its first entry.
    founding: Option<Incarnation>,
    racks: BTreeMap<RackId, Entry>,
    /// The next number of each kind; what was given once is never given again.
    next: BTreeMap<Kind, u32>,
    members: Members,
    settings: Settings,
    time_ms: u64,
    applied_index: Option<u64>,
    remembered: Remembered,
    dirty: BTreeSet<RackId>,
}

/// Checkpoints are bookkeeping, no part of what a log adds up to.
impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.founding == other.founding
            && self.racks == other.racks
            && self.next == other.next
            && self.settings == other.settings
            && self.members.same(&other.members)
            && (self.time_ms, self.applied_index) == (other.time_ms, other.applied_index)
            && self.remembered.same(&other.remembered)
    }
}

/// What a checkpoint consists of.
#[derive(Serialize, Deserialize)]
enum Item {
    Rack(Entry),
    Member(Admitted),
    Kept(RetryItem),
    /// Ends every delta.
    State {
        founding: Option<Incarnation>,
        next: BTreeMap<Kind, u32>,
        settings: Settings,
        time_ms: u64,
        applied_index: Option<u64>,
        remembered_from: u64,
        floors: Floors,
    },
}

/// Who asks for a rack.
struct Founder {
    peer: PeerId,
    incarnation: Incarnation,
}

impl Registry {
    /// The data with which it began, which tells it from a registry that began elsewhere; `None`
    /// before its first entry.
    pub const fn founding(&self) -> Option<Incarnation> {
        self.founding
    }

    /// A rack.
    pub fn get(&self, rack: &RackId) -> Option<&RackInfo> {
        self.racks.get(rack).map(|entry| &entry.info)
    }

    /// All racks, by name.
    pub fn list(&self) -> impl ExactSizeIterator<Item = &RackInfo> {
        self.racks.values().map(|entry| &entry.info)
    }

    /// What holds for the whole mesh.
    pub const fn settings(&self) -> Settings {
        self.settings
    }

    /// The member number that a node's data were given.
    pub fn member_of(&self, peer: PeerId, incarnation: Incarnation) -> Option<MemberId> {
        self.members.number_of(peer, incarnation)
    }

    fn answer(&mut self, command: &Command) -> Outcome {
        let key = match command.key {
            None => return self.act(&command.action),
            Some(RequestKey::Retry(key)) => key,
            Some(RequestKey::Client(_)) => return Err(foreign("registry")),
        };
        if let Some(first) = self.remembered.answer(&key, |_| None) {
            return first;
        }
        let outcome = self.act(&command.action);
        self.remembered.insert(key, self.time_ms, &outcome);
        outcome
    }

    fn act(&mut self, action: &Action) -> Outcome {
        match action {
            Action::AdmitMember { peer, incarnation } => {
                self.members.admit(*peer, *incarnation).map(Applied::Member)
            }
            Action::RegisterRack { rack, kind, founder, incarnation, charter } => {
                let founder = Founder { peer: *founder, incarnation: *incarnation };
                self.register(rack, *kind, founder, *charter).map(Applied::Rack)
            }
            Action::ConfirmRack { rack, founder, incarnation } => {
                let founder = Founder { peer: *founder, incarnation: *incarnation };
                self.confirm(rack, &founder).map(Applied::Rack)
            }
            Action::RetireRack { rack } => self.retire(rack).map(Applied::Rack),
            Action::BeginRegistry { founding } => self.begin(*founding),
            Action::SetSettings { settings } => {
                self.settings = *settings;
                Ok(Applied::Settings(self.settings))
            }
            Action::FoundRack { .. }
            | Action::RecoverRack { .. }
            | Action::CloseRack { .. }
            | Action::Settle
            | Action::Register { .. }
            | Action::Update { .. }
            | Action::Forget { .. }
            | Action::Withdraw { .. }
            | Action::PlaceOrder { .. } => Err(foreign("registry")),
        }
    }

    /// Its beginner may say so again after a crash; nobody else has begun it.
    fn begin(&mut self, founding: Incarnation) -> Outcome {
        if *self.founding.get_or_insert(founding) != founding {
            return Err(ApiError::invalid("founding", "this registry has begun with other data"));
        }
        Ok(Applied::Done)
    }

    fn register(
        &mut self,
        rack: &RackId,
        kind: Kind,
        founder: Founder,
        charter: Option<Charter>,
    ) -> Result<RackInfo, ApiError> {
        let Some(known) = self.racks.get(rack) else {
            return self.add(rack, kind, founder, charter);
        };
        if known.info.kind != kind {
            let is = format!("{rack} is of type {}", known.info.kind);
            return Err(ApiError::invalid("type", is));
        }
        if known.info.retired {
            return Ok(known.info.clone());
        }
        if let Some(charter) = charter {
            return self.adopt(rack, charter, &founder);
        }
        if self.may_replace(known, &founder) {
            let (number, now_ms) = (known.info.number, self.time_ms);
            return Ok(self.put(Entry::registered(rack, kind, number, &founder, now_ms)));
        }
        Ok(known.info.clone())
    }

    /// A rack that is new here: it gets a number, or keeps the one in its own log.
    fn add(
        &mut self,
        rack: &RackId,
        kind: Kind,
        founder: Founder,
        charter: Option<Charter>,
    ) -> Result<RackInfo, ApiError> {
        let given = match charter {
            Some(charter) => self.claim(rack, kind, charter.number)?,
            None => self.next_number(kind)?,
        };
        let entry = Entry::registered(rack, kind, given, &founder, self.time_ms);
        Ok(self.put(entry.chartered(charter)))
    }

    /// A known rack's own log has a number: the group has begun, so its word stands unless it was
    /// confirmed with another.
    fn adopt(
        &mut self,
        rack: &RackId,
        charter: Charter,
        founder: &Founder,
    ) -> Result<RackInfo, ApiError> {
        let number = charter.number;
        let Some(known) = self.racks.get(rack).cloned() else {
            return Err(ApiError::RackNotFound { rack: rack.clone() });
        };
        let confirmed = known.info.confirmed;
        let same =
            known.info.number == number && known.info.incarnation == charter.lineage.founding;
        if confirmed && same {
            let recovered = charter.lineage.recoveries > known.info.recoveries;
            return Ok(if recovered {
                self.put(known.chartered(Some(charter)))
            } else {
                known.info
            });
        }
        if confirmed && known.info.number == number {
            let rule = format!("{rack} has another history here: another group bears its name");
            return Err(ApiError::invalid("charter", rule));
        }
        if confirmed {
            let is = format!("{rack} has number {}, not {number}", known.info.number);
            return Err(ApiError::invalid("number", is));
        }
        let kind = known.info.kind;
        if known.info.number != number {
            self.claim(rack, kind, number)?;
        }
        let entry = Entry::registered(rack, kind, number, founder, self.time_ms);
        Ok(self.put(entry.chartered(Some(charter))))
    }

    fn may_replace(&self, known: &Entry, founder: &Founder) -> bool {
        let RackInfo { founder: present, incarnation, confirmed, .. } = known.info;
        // The same node with other data has lost those it began with.
        let lost = present == founder.peer && incarnation != founder.incarnation;
        let silent = self.time_ms >= known.since_ms.saturating_add(FOUNDER_PATIENCE_MS);
        !confirmed && (lost || (silent && present != founder.peer))
    }

    fn confirm(&mut self, rack: &RackId, founder: &Founder) -> Result<RackInfo, ApiError> {
        let known = self.racks.get(rack);
        let mut entry =
            known.cloned().ok_or_else(|| ApiError::RackNotFound { rack: rack.clone() })?;
        if entry.info.retired {
            return Err(ApiError::RackRetired { rack: rack.clone() });
        }
        let present = entry.info.founder;
        if present != founder.peer || entry.info.incarnation != founder.incarnation {
            let why = format!("{rack} is being founded by {}", present.short());
            return Err(ApiError::invalid("founder", why));
        }
        entry.info.confirmed = true;
        Ok(self.put(entry))
    }

    fn retire(&mut self, rack: &RackId) -> Result<RackInfo, ApiError> {
        let known = self.racks.get(rack).cloned();
        let mut entry = known.ok_or_else(|| ApiError::RackNotFound { rack: rack.clone() })?;
        entry.info.retired = true;
        Ok(self.put(entry))
    }

    fn next_number(&mut self, kind: Kind) -> Result<u32, ApiError> {
        let next = self.next.entry(kind).or_default();
        if *next >= MAX_RACKS_OF_A_TYPE {
            let why = format!("{MAX_RACKS_OF_A_TYPE} racks of a type were registered");
            return Err(ApiError::Unavailable { what: "registry".into(), why });
        }
        *next += 1;
        Ok(*next - 1)
    }

    /// Keeps a number that a rack has already from being given again.
    fn claim(&mut self, rack: &RackId, kind: Kind, number: u32) -> Result<u32, ApiError> {
        if number >= MAX_RACKS_OF_A_TYPE {
            let rule = format!("must be below {MAX_RACKS_OF_A_TYPE}");
            return Err(ApiError::invalid("number", rule));
        }
        let has_it = |info: &&RackInfo| (info.kind, info.number) == (kind, number);
        if let Some(other) = self.list().filter(|info| info.id != *rack).find(has_it) {
            return Err(ApiError::invalid(
                "number",
                format!("{number} is the one of {}", other.id),
            ));
        }
        let next = self.next.entry(kind).or_default();
        *next = (*next).max(number + 1);
        Ok(number)
    }

    fn put(&mut self, mut entry: Entry) -> RackInfo {
        if entry.info.confirmed && entry.info.since_ms == 0 {
            entry.info.since_ms = self.time_ms;
        }
        let info = entry.info.clone();
        self.dirty.insert(info.id.clone());
        self.racks.insert(info.id.clone(), entry);
        info
    }

    fn restore_item(&mut self, item: Item) -> Result<(), RestoreError> {
        match item {
            Item::Rack(entry) => drop(self.racks.insert(entry.info.id.clone(), entry)),
            Item::Member(member) => self.members.restore(member),
            Item::Kept(kept) => {
                if !self.remembered.restore(kept, |_| None) {
                    return Err(RestoreError("a thing in a registry".into()));
                }
            }
            Item::State {
                founding,
                next,
                settings,
                time_ms,
                applied_index,
                remembered_from,
                floors,
            } => {
                (self.founding, self.next, self.settings) = (founding, next, settings);
                (self.time_ms, self.applied_index) = (time_ms, applied_index);
                self.remembered.restore_end(remembered_from, floors);
                self.members.set_saved();
            }
        }
        Ok(())
    }
}

impl Entry {
    fn registered(
        rack: &RackId,
        kind: Kind,
        number: u32,
        founder: &Founder,
        since_ms: u64,
    ) -> Self {
        let Founder { peer, incarnation } = *founder;
        let id = rack.clone();
        let info = RackInfo {
            id,
            kind,
            number,
            founder: peer,
            incarnation,
            recoveries: 0,
            confirmed: false,
            since_ms: 0,
            retired: false,
        };
        Self { info, since_ms }
    }

    /// A rack that has begun says itself what it is.
    fn chartered(mut self, charter: Option<Charter>) -> Self {
        if let Some(Charter { lineage, .. }) = charter {
            self.info.confirmed = true;
            (self.info.incarnation, self.info.recoveries) = (lineage.founding, lineage.recoveries);
        }
        self
    }
}

impl View for Registry {
    fn apply(&mut self, index: u64, batch: &Batch) -> Vec<Outcome> {
        self.time_ms = self.time_ms.max(batch.time_ms);
        self.remembered.expire(self.time_ms);
        self.applied_index = Some(index);
        batch.commands.iter().map(|command| self.answer(command)).collect()
    }

    fn pass(&mut self, index: u64) {
        self.applied_index = Some(index);
    }

    fn applied_index(&self) -> Option<u64> {
        self.applied_index
    }

    fn begin_full(&mut self) {
        self.dirty = self.racks.keys().cloned().collect();
        self.members.begin_full();
        self.remembered.begin_full();
    }

    /// A registry is small: all of it is in the delta that ends a full checkpoint.
    fn slice(&self, _after: Option<u64>) -> (Vec<Bytes>, Option<u64>) {
        (Vec::new(), None)
    }

    fn take_delta(&mut self) -> Vec<Bytes> {
        let mut parts = PartWriter::default();
        for rack in std::mem::take(&mut self.dirty) {
            if let Some(entry) = self.racks.get(&rack) {
                parts.push(&Item::Rack(entry.clone()));
            }
        }
        for member in self.members.unsaved() {
            parts.push(&Item::Member(member.clone()));
        }
        let saved = self.remembered.each_unsaved(
            |_| None,
            |kept, _| {
                parts.push(&Item::Kept(kept));
                ControlFlow::Continue(())
            },
        );
        parts.push(&Item::State {
            founding: self.founding,
            next: self.next.clone(),
            settings: self.settings,
            time_ms: self.time_ms,
            applied_index: self.applied_index,
            remembered_from: self.remembered.first(),
            floors: self.remembered.floors(),
        });
        self.members.set_saved();
        self.remembered.set_saved(saved);
        parts.finish()
    }

    fn restore(&mut self, part: &[u8]) -> Result<(), RestoreError> {
        items(part).try_for_each(|item| self.restore_item(item?))
    }
}
