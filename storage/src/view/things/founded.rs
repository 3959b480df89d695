//! What a rack is, and whether it takes writes: its founding, recoveries and retirement.

use bookmesh_rpc::api::{ApiError, Applied, Charter, Kind, MemberId, Outcome, RackId};
use serde::{Deserialize, Serialize};

use super::Things;
use crate::view::members::GivenUp;

/// What a rack is, since its first entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Founded {
    pub(super) rack: RackId,
    pub(super) kind: Kind,
    pub(super) charter: Charter,
    /// Whether the registry has confirmed it. Nothing may be acknowledged to users before.
    pub(super) confirmed: bool,
    /// Whether it takes no more writes.
    pub(super) closed: bool,
    /// By the last recovery.
    pub(super) given_up: GivenUp,
}

impl Things {
    pub(super) fn given_up(&self) -> GivenUp {
        self.founded.as_ref().map(|founded| founded.given_up).unwrap_or_default()
    }

    pub(super) fn found(&mut self, rack: &RackId, kind: Kind, charter: Charter) -> Outcome {
        let founded = self.founded.get_or_insert_with(|| Founded {
            rack: rack.clone(),
            kind,
            charter,
            confirmed: false,
            closed: false,
            given_up: GivenUp::default(),
        });
        if (&founded.rack, founded.kind, founded.charter) == (rack, kind, charter) {
            return Ok(Applied::Done);
        }
        let is = format!("is {} {} number {}", founded.kind, founded.rack, founded.charter.number);
        Err(ApiError::invalid("rack_id", is))
    }

    pub(super) fn confirm(&mut self, rack: &RackId) -> Outcome {
        match &mut self.founded {
            Some(founded) if founded.rack == *rack => {
                founded.confirmed = true;
                Ok(Applied::Done)
            }
            _ => Err(unfounded()),
        }
    }

    /// From here on the members that were given up have another history; their data, should they
    /// come back, are another member's.
    pub(super) fn recover(&mut self, alone: MemberId) -> Outcome {
        let founded = self.founded.as_mut().ok_or_else(unfounded)?;
        founded.given_up = self.members.all_but(alone);
        founded.charter.lineage.recoveries += 1;
        Ok(Applied::Done)
    }

    pub(super) fn close(&mut self, force: bool) -> Outcome {
        let things = self.len() as u64;
        let founded = self.founded.as_mut().ok_or_else(unfounded)?;
        if things > 0 && !force && !founded.closed {
            return Err(ApiError::RackNotEmpty { rack: founded.rack.clone(), things });
        }
        founded.closed = true;
        Ok(Applied::Done)
    }

    /// Users' writes are of the rack's own kind, and end when it is retired.
    pub(super) fn open(&self, kind: Kind) -> Result<Charter, ApiError> {
        let founded = self.founded.as_ref().ok_or_else(unfounded)?;
        if founded.closed {
            return Err(ApiError::RackRetired { rack: founded.rack.clone() });
        }
        if self.changes.is_full() {
            return Err(refused("its history can grow no further"));
        }
        if founded.kind != kind {
            let is = format!("is a rack of kind {}, not {kind}", founded.kind);
            return Err(ApiError::invalid("rack_id", is));
        }
        Ok(founded.charter)
    }
}

pub(super) fn unfounded() -> ApiError {
    refused("its first entry is not applied yet")
}

fn refused(why: &str) -> ApiError {
    ApiError::Unavailable { what: "the rack".into(), why: why.to_owned() }
}
