//! Member numbers: the log hands them out, each once, as one that was used with data that are
//! gone must never come back.

use std::collections::HashMap;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, Incarnation, MemberId};
use serde::{Deserialize, Serialize};

/// Far more data directories than a group ever sees; it bounds what a faulty peer can ask for.
const MAX_MEMBERS: usize = 100_000;

/// A number and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Admitted {
    number: MemberId,
    peer: PeerId,
    incarnation: Incarnation,
}

/// See the module. The first number is 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    by_data: HashMap<(PeerId, Incarnation), MemberId>,
    /// In the order they were admitted, which is by number.
    all: Vec<Admitted>,
    /// How many are in the checkpoint.
    saved: usize,
}

impl Members {
    pub(super) fn admit(
        &mut self,
        peer: PeerId,
        incarnation: Incarnation,
    ) -> Result<MemberId, ApiError> {
        if let Some(number) = self.by_data.get(&(peer, incarnation)) {
            return Ok(*number);
        }
        if self.all.len() >= MAX_MEMBERS {
            let why = format!("{MAX_MEMBERS} members were admitted, no more are");
            return Err(ApiError::Unavailable { what: "the group".into(), why });
        }
        let number = self.all.last().map_or(1, |last| last.number + 1);
        self.restore(Admitted { number, peer, incarnation });
        Ok(number)
    }

    /// The number that these data have.
    pub(super) fn number_of(&self, peer: PeerId, incarnation: Incarnation) -> Option<MemberId> {
        self.by_data.get(&(peer, incarnation)).copied()
    }

    pub(super) fn restore(&mut self, member: Admitted) {
        let data = (member.peer, member.incarnation);
        if self.by_data.insert(data, member.number).is_none() {
            self.all.push(member);
        }
    }

    /// Whether both have handed out the same.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.all == other.all
    }

    /// A full checkpoint begins.
    pub(super) fn begin_full(&mut self) {
        self.saved = 0;
    }

    /// Those that are in no checkpoint yet.
    pub(super) fn unsaved(&self) -> &[Admitted] {
        &self.all[self.saved.min(self.all.len())..]
    }

    pub(super) fn set_saved(&mut self) {
        self.saved = self.all.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_and_to_the_same_data_again() {
        let mut members = Members::default();
        let (one, two) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let (old, new) = (Incarnation::generate(), Incarnation::generate());
        assert_eq!(members.admit(one, old), Ok(1));
        assert_eq!(members.admit(two, old), Ok(2));
        assert_eq!(members.admit(one, old), Ok(1));
        assert_eq!(members.admit(one, new), Ok(3), "a wiped disk makes another member");
    }
}
