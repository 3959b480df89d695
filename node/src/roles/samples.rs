//! What tests of several files start from.

use bookmesh_rpc::api::{Charter, Hash, Incarnation, Kind, Lineage, MemberState, MemberStatus};

/// What the log of a rack says that was recovered so often.
pub(super) fn charter(recoveries: u32) -> Charter {
    Charter { number: 1, lineage: Lineage { founding: Incarnation::default(), recoveries } }
}

/// A member of the rack `r`, of which nothing else is known than that it has five things.
pub(super) fn status(state: MemberState) -> MemberStatus {
    MemberStatus {
        rack: "r".parse().unwrap(),
        kind: Kind::Book,
        charter: None,
        member: 1,
        state,
        term: 1,
        last_term: 1,
        leader: None,
        members: Vec::new(),
        last_index: 1,
        committed_index: 1,
        applied_index: 1,
        head_hash: Hash::ZERO,
        things: 5,
        writable: true,
        blocked_by: Vec::new(),
    }
}
