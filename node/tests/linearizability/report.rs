//! A violation as people can read it: the shortest beginning of a history that no order explains.

use std::fmt::Write;

use super::checker::{Refused, Verdict, check};
use super::history::{History, NEVER, Operation};
use super::model::{Call, Outcome, State};

/// Calls that stay out of a report: they were not answered when it went wrong.
const SHOWN_STUCK: usize = 16;

/// Says what is wrong with the history of a book; nothing, if nothing is.
pub fn fault(book: &str, history: &History) -> Option<String> {
    let refused = match check(history) {
        Verdict::Linearizable => return None,
        Verdict::Undecided => {
            return Some(format!("book {book}: there are too many orders to try"));
        }
        Verdict::Refused(refused) => refused,
    };
    let (shortest, refused) = shortest(history).unwrap_or_else(|| (history.clone(), refused));
    let mut text = format!(
        "book {book}: no order explains its first {} calls (of {}).\nA longest order ends with\n",
        shortest.operations().len(),
        history.operations().len(),
    );
    write_all(&mut text, &refused.explained);
    let _ = writeln!(text, "and leaves it as {}. Then one of these has to come, and can't:", {
        state(refused.state)
    });
    let mut stuck = refused.stuck;
    stuck.sort_by_key(|operation| operation.ended);
    stuck.truncate(SHOWN_STUCK);
    write_all(&mut text, &stuck);
    Some(text)
}

/// Whatever is added to a history that no order explains, none will. So the first answer that
/// breaks it can be found by halving.
fn shortest(history: &History) -> Option<(History, Refused)> {
    let ends = history.ends();
    let (mut good, mut bad) = (0, ends.len());
    let mut found = None;
    while good < bad {
        let middle = usize::midpoint(good, bad);
        let beginning = history.until(ends[middle]);
        match check(&beginning) {
            Verdict::Linearizable => good = middle + 1,
            Verdict::Refused(refused) => {
                bad = middle;
                found = Some((beginning, refused));
            }
            Verdict::Undecided => return found,
        }
    }
    found
}

fn write_all(text: &mut String, operations: &[Operation]) {
    for operation in operations {
        let _ = writeln!(text, "  {}", line(operation));
    }
}

fn line(operation: &Operation) -> String {
    let Operation { client, call, outcome, begun, ended } = *operation;
    let call = match call {
        Call::Read => "read".to_owned(),
        Call::Mark(mark) => format!("mark {mark}"),
        Call::CheckOut(holder) => format!("check out as {holder}"),
        Call::Return => "return".to_owned(),
        Call::Remove => "remove".to_owned(),
    };
    let outcome = match outcome {
        Outcome::Is(book) => state(Some(book)),
        Outcome::Conflict => "conflict".to_owned(),
        Outcome::Gone => "gone".to_owned(),
        Outcome::Unknown => "unknown".to_owned(),
    };
    let end = if ended == NEVER { "…".to_owned() } else { seconds(ended) };
    format!("{} to {end} s, client {client}: {call}: {outcome}", seconds(begun))
}

fn state(state: State) -> String {
    state.map_or_else(
        || "removed".to_owned(),
        |book| format!("version {}, mark {}, holder {:?}", book.version, book.mark, book.holder),
    )
}

fn seconds(nanoseconds: u64) -> String {
    format!("{:.6}", nanoseconds as f64 / 1e9)
}
