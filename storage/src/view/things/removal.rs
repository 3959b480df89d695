//! Things that go: withdrawn, which leaves them to be listed and their history to be read, or
//! forgotten, which leaves their history alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use bookmesh_rpc::api::{ApiError, Applied, MAX_BATCH, Outcome, Thing, ThingId};

use super::{Things, import_entry};

impl Things {
    pub(super) fn withdraw(&mut self, id: ThingId, if_version: Option<u64>) -> Outcome {
        let mut thing = Thing::clone(self.active_at(id, if_version)?);
        self.by_import_key.remove(&import_entry(&thing));
        thing.active = false;
        thing.version += 1;
        thing.info.updated_at_ms = self.time_ms;
        let thing = Arc::new(thing);
        self.put(thing.clone());
        Ok(Applied::Thing(thing))
    }

    pub(super) fn forget(&mut self, ids: &[ThingId], if_version: Option<u64>) -> Outcome {
        if ids.is_empty() || ids.len() > MAX_BATCH {
            return Err(ApiError::invalid("ids", format!("must be 1 to {MAX_BATCH}")));
        }
        if ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
            return Err(ApiError::invalid("ids", "must not repeat"));
        }
        let there = ids.iter().map(|id| self.at_version(*id, if_version).cloned());
        let forgotten = there.collect::<Result<Vec<_>, _>>()?;
        for thing in &forgotten {
            self.by_import_key.remove(&import_entry(thing));
            self.things.remove(&thing.id);
            self.index.replace(Some(thing), None);
            self.changes.note(thing.id.sequence());
            self.dirty.insert(thing.id);
        }
        Ok(Applied::Forgotten(forgotten))
    }
}
