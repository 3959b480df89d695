//! What the others' answers tell of calls whose own outcome nobody knows. Without this the search
//! would have to try every one of them wherever a change went unseen.

use std::collections::HashMap;

use super::history::{NEVER, Operation};
use super::model::{Call, Outcome};

/// A value that no answer shows.
const UNSEEN: u64 = u64::MAX;

/// The same calls, narrowed down. One whose value an answer shows took effect before that answer's
/// end. Those whose values nobody saw may as well have written the same: so they are alike, and
/// the first of them can stand for any.
pub fn narrow(operations: &[Operation]) -> Vec<Operation> {
    let (mut marks, mut holders) = (HashMap::new(), HashMap::new());
    for operation in operations {
        if let Outcome::Is(book) = operation.outcome {
            note(&mut marks, book.mark, operation.ended);
            if let Some(holder) = book.holder {
                note(&mut holders, holder, operation.ended);
            }
        }
    }
    let narrowed = operations.iter().map(|operation| {
        if operation.outcome != Outcome::Unknown {
            return *operation;
        }
        let (call, ended) = match operation.call {
            Call::Mark(mark) => match marks.get(&mark) {
                Some(end) => (operation.call, *end),
                None => (Call::Mark(UNSEEN), NEVER),
            },
            Call::CheckOut(holder) => match holders.get(&holder) {
                Some(end) => (operation.call, *end),
                None => (Call::CheckOut(UNSEEN), NEVER),
            },
            other => (other, NEVER),
        };
        Operation { call, ended, ..*operation }
    });
    narrowed.collect()
}

fn note(seen: &mut HashMap<u64, u64>, value: u64, end: u64) {
    seen.entry(value).and_modify(|first| *first = end.min(*first)).or_insert(end);
}
