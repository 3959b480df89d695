//! What clients asked of one book, when, and what they were told.

use super::model::{Call, Outcome, State};

/// One call. Times are nanoseconds since the test began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub client: usize,
    pub call: Call,
    pub outcome: Outcome,
    pub begun: u64,
    /// [`NEVER`] for an outcome that is unknown.
    pub ended: u64,
}

/// After everything.
pub const NEVER: u64 = u64::MAX;

/// All calls to one book, in the order in which they began.
#[derive(Clone, Debug)]
pub struct History {
    /// What the book was when the first of them began.
    pub start: State,
    operations: Vec<Operation>,
}

impl History {
    /// Reads that failed say nothing, and are left out.
    pub fn new(start: State, mut operations: Vec<Operation>) -> Self {
        operations.retain(|it| it.call != Call::Read || it.outcome != Outcome::Unknown);
        for operation in &mut operations {
            if operation.outcome == Outcome::Unknown {
                operation.ended = NEVER;
            }
            assert!(operation.begun < operation.ended, "it ended before it began");
        }
        operations.sort_by_key(|operation| operation.begun);
        Self { start, operations }
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// When each call ended whose outcome is known, in order.
    pub fn ends(&self) -> Vec<u64> {
        let mut ends: Vec<_> = self.operations.iter().map(|operation| operation.ended).collect();
        ends.retain(|end| *end != NEVER);
        ends.sort_unstable();
        ends
    }

    /// What was known of it at this time: calls under way have no outcome yet.
    pub fn until(&self, time: u64) -> Self {
        let begun = self.operations.iter().filter(|operation| operation.begun <= time);
        let known = begun.map(|operation| match operation.ended <= time {
            true => *operation,
            false => Operation { outcome: Outcome::Unknown, ..*operation },
        });
        Self::new(self.start, known.collect())
    }
}
