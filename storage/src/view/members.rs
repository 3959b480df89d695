//! Member numbers: the log hands them out, each once, as one that was used with data that are
//! gone must never come back.

use std::collections::HashMap;

use bookmesh_rpc::PeerId;
use bookmesh_rpc::api::{ApiError, Incarnation, MemberId};
use serde::{Deserialize, Serialize};

/// Far more data directories than a group ever sees; it bounds what a faulty peer can ask for.
const MAX_MEMBERS: usize = 100_000;
/// Numbers that the others may have handed out before they were given up, unheard of by the one
/// that goes on: they are passed over.
const UNHEARD_OF: MemberId = 1_000;

/// A number and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Admitted {
    number: MemberId,
    peer: PeerId,
    incarnation: Incarnation,
}

/// The numbers that a recovery gave up: their data may have another history. None unless there
/// was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GivenUp {
    /// The member that went on alone.
    alone: MemberId,
    /// The last number that may have been handed out by then.
    last: MemberId,
}

impl GivenUp {
    pub(super) const fn contains(self, number: MemberId) -> bool {
        number <= self.last && number != self.alone
    }
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
        self.admit_but(GivenUp::default(), peer, incarnation)
    }

    /// As [`Members::admit`], and with another number for data whose number was given up.
    pub(super) fn admit_but(
        &mut self,
        given_up: GivenUp,
        peer: PeerId,
        incarnation: Incarnation,
    ) -> Result<MemberId, ApiError> {
        let known = self.number_of(peer, incarnation);
        if let Some(number) = known.filter(|number| !given_up.contains(*number)) {
            return Ok(number);
        }
        if self.all.len() >= MAX_MEMBERS {
            let why = format!("{MAX_MEMBERS} members were admitted, no more are");
            return Err(ApiError::Unavailable { what: "the group".into(), why });
        }
        let number = self.last().max(given_up.last) + 1;
        self.restore(Admitted { number, peer, incarnation });
        Ok(number)
    }

    /// All that were handed out but one, and some that may have been.
    pub(super) fn all_but(&self, alone: MemberId) -> GivenUp {
        GivenUp { alone, last: self.last() + UNHEARD_OF }
    }

    /// The last number that was handed out; 0 before the first.
    fn last(&self) -> MemberId {
        self.all.last().map_or(0, |last| last.number)
    }

    /// The number that these data have, the last if there were several.
    pub(super) fn number_of(&self, peer: PeerId, incarnation: Incarnation) -> Option<MemberId> {
        self.by_data.get(&(peer, incarnation)).copied()
    }

    pub(super) fn restore(&mut self, member: Admitted) {
        if self.last() < member.number {
            self.by_data.insert((member.peer, member.incarnation), member.number);
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
        let given_up = members.all_but(1);
        assert_eq!(members.admit_but(given_up, one, old), Ok(1));
        let number = members.admit_but(given_up, two, old).unwrap();
        assert!(number > 3 && !given_up.contains(number));
        assert_eq!(members.admit(two, old), Ok(number), "the last one counts");
    }
}
