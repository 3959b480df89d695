//! The checker accepts what may happen and rejects what may not: a checker that accepts everything
//! would make every run green.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::checker::{Verdict, check};
use super::history::{History, NEVER, Operation};
use super::model::{Book, Call, Outcome, State};

const NEW: Book = Book { version: 1, mark: 0, holder: None };

fn book(version: u64, mark: u64, holder: Option<u64>) -> Outcome {
    Outcome::Is(Book { version, mark, holder })
}

fn call(begun: u64, ended: u64, call: Call, outcome: Outcome) -> Operation {
    Operation { client: 0, call, outcome, begun, ended }
}

fn read(begun: u64, ended: u64, outcome: Outcome) -> Operation {
    call(begun, ended, Call::Read, outcome)
}

fn lost(begun: u64, what: Call) -> Operation {
    call(begun, NEVER, what, Outcome::Unknown)
}

fn verdict(operations: &[Operation]) -> Verdict {
    check(&History::new(Some(NEW), operations.to_vec()))
}

#[track_caller]
fn accepts(operations: &[Operation]) {
    let verdict = verdict(operations);
    assert!(matches!(verdict, Verdict::Linearizable), "{verdict:?}");
}

#[track_caller]
fn rejects(operations: &[Operation]) {
    let verdict = verdict(operations);
    assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
}

#[test]
fn nothing_and_one_after_the_other_are_fine() {
    accepts(&[]);
    accepts(&[
        read(1, 2, book(1, 0, None)),
        call(3, 4, Call::Mark(7), book(2, 7, None)),
        call(5, 6, Call::CheckOut(9), book(3, 7, Some(9))),
        call(7, 8, Call::CheckOut(8), Outcome::Conflict),
        call(9, 10, Call::Return, book(4, 7, None)),
        call(11, 12, Call::Return, Outcome::Conflict),
        call(13, 14, Call::Remove, book(4, 7, None)),
        read(15, 16, Outcome::Gone),
        call(17, 18, Call::Mark(1), Outcome::Gone),
    ]);
}

#[test]
fn calls_at_the_same_time_may_come_in_any_order() {
    let second = call(1, 11, Call::Mark(7), book(3, 7, None));
    let first = call(2, 10, Call::Mark(8), book(2, 8, None));
    for seen in [book(1, 0, None), book(2, 8, None), book(3, 7, None)] {
        accepts(&[second, first, read(3, 9, seen)]);
    }
    rejects(&[second, first, read(3, 9, book(2, 7, None))]);
    rejects(&[second, first, read(12, 13, book(2, 8, None))]);
}

#[test]
fn a_call_that_ends_as_another_begins_may_come_after_it() {
    let write = call(5, 9, Call::Mark(7), book(2, 7, None));
    accepts(&[read(1, 5, book(2, 7, None)), write]);
    rejects(&[read(1, 4, book(2, 7, None)), write]);
}

#[test]
fn a_stale_read_is_rejected() {
    let write = call(1, 2, Call::Mark(7), book(2, 7, None));
    rejects(&[write, read(3, 4, book(1, 0, None))]);
    // Nor may a later read go back behind an earlier one, while the write is still under way.
    let slow = call(1, 9, Call::Mark(7), book(2, 7, None));
    accepts(&[slow, read(2, 3, book(1, 0, None)), read(4, 5, book(2, 7, None))]);
    rejects(&[slow, read(2, 3, book(2, 7, None)), read(4, 5, book(1, 0, None))]);
}

#[test]
fn a_lost_update_is_rejected() {
    let one = call(1, 5, Call::Mark(7), book(2, 7, None));
    let other = call(2, 6, Call::Mark(8), book(2, 8, None));
    rejects(&[one, other]);
}

#[test]
fn an_acknowledged_write_that_vanishes_is_rejected() {
    let write = call(1, 2, Call::Mark(7), book(2, 7, None));
    let next = call(5, 6, Call::Mark(8), book(2, 8, None));
    rejects(&[write, next, read(7, 8, book(2, 8, None))]);
    rejects(&[
        call(1, 2, Call::CheckOut(9), book(2, 0, Some(9))),
        call(3, 4, Call::CheckOut(8), book(2, 0, Some(8))),
    ]);
}

#[test]
fn a_value_that_nobody_wrote_is_rejected() {
    rejects(&[read(1, 2, book(1, 5, None))]);
    rejects(&[read(1, 2, book(2, 0, None))]);
    rejects(&[read(1, 2, Outcome::Gone)]);
}

#[test]
fn of_two_checkouts_one_wins() {
    let wins = call(1, 5, Call::CheckOut(9), book(2, 0, Some(9)));
    accepts(&[wins, call(2, 6, Call::CheckOut(8), Outcome::Conflict)]);
    rejects(&[wins, call(2, 6, Call::CheckOut(8), book(2, 0, Some(8)))]);
    rejects(&[wins, call(2, 6, Call::CheckOut(8), book(3, 0, Some(8)))]);
    // A refusal needs somebody who has the book.
    rejects(&[call(2, 6, Call::CheckOut(8), Outcome::Conflict)]);
    rejects(&[call(2, 6, Call::Return, Outcome::Conflict), wins, read(7, 8, Outcome::Gone)]);
}

#[test]
fn a_write_that_was_applied_twice_is_rejected() {
    let first = call(1, 2, Call::Mark(7), book(2, 7, None));
    let second = call(3, 4, Call::Mark(8), book(3, 8, None));
    rejects(&[first, second, read(5, 6, book(4, 7, None))]);
    // The second application of a checkout is refused, and its caller is told so.
    rejects(&[call(1, 2, Call::CheckOut(9), Outcome::Conflict), read(3, 4, book(2, 0, Some(9)))]);
}

#[test]
fn what_is_unknown_may_happen_late_or_never_but_once() {
    let unknown = lost(1, Call::Mark(7));
    accepts(&[unknown, read(2, 3, book(1, 0, None))]);
    accepts(&[unknown, read(2, 3, book(1, 0, None)), read(90, 91, book(2, 7, None))]);
    rejects(&[
        unknown,
        read(2, 3, book(2, 7, None)),
        call(4, 5, Call::Mark(8), book(3, 8, None)),
        read(6, 7, book(4, 7, None)),
    ]);
    // Not before it began.
    rejects(&[read(2, 3, book(2, 7, None)), lost(4, Call::Mark(7))]);
    // It explains a version that is missing, and who has the book.
    accepts(&[lost(1, Call::CheckOut(9)), call(2, 3, Call::CheckOut(8), Outcome::Conflict)]);
    accepts(&[unknown, call(2, 3, Call::Mark(8), book(3, 8, None))]);
    rejects(&[unknown, call(2, 3, Call::Mark(8), book(4, 8, None))]);
}

#[test]
fn what_is_removed_stays_removed() {
    let removed = call(1, 2, Call::Remove, book(1, 0, None));
    accepts(&[removed, read(3, 4, Outcome::Gone)]);
    rejects(&[removed, read(3, 4, book(1, 0, None))]);
    rejects(&[removed, call(3, 4, Call::Mark(7), book(2, 7, None))]);
    rejects(&[removed, call(3, 4, Call::Remove, book(1, 0, None))]);
    let unknown = lost(1, Call::Remove);
    accepts(&[unknown, read(2, 3, book(1, 0, None)), read(4, 5, Outcome::Gone)]);
    rejects(&[unknown, read(2, 3, Outcome::Gone), read(4, 5, book(1, 0, None))]);
}

/// A history that is linearizable by how it is made: each call takes effect somewhere between its
/// ends, and some callers never hear of it.
fn made(rounds: u64) -> Vec<Operation> {
    let (mut state, mut all) = (NEW, Vec::new());
    for round in 0..rounds {
        let at = 100 + round * 10;
        state = Book { version: state.version + 1, mark: round + 1, ..state };
        let mark = Call::Mark(round + 1);
        match round % 7 {
            // Took effect, and its caller was not told.
            3 => all.push(lost(at - 60, mark)),
            _ => all.push(call(at - 60, at + 60, mark, Outcome::Is(state))),
        }
        if round % 5 == 0 {
            all.push(lost(at - 30, Call::Mark(1_000_000 + round)));
        }
        all.push(read(at + 1, at + 50, Outcome::Is(state)));
        all.push(read(at - 90, at + 4, Outcome::Is(state)));
    }
    all
}

#[test]
fn long_histories_with_much_at_once_are_decided() {
    let all = made(2_000);
    accepts(&all);
    // One read in the middle that is a little too old: what it shows was over when it began.
    let mut stale = all;
    let at = 1_000 * 10 + 100;
    stale.push(read(at + 200, at + 210, book(1_001, 1_000, None)));
    rejects(&stale);
}

#[test]
fn a_refusal_shows_where_it_is_stuck() {
    let write = call(1, 2, Call::Mark(7), book(2, 7, None));
    let stale = read(3, 4, book(1, 0, None));
    let Verdict::Refused(refused) = verdict(&[write, stale]) else { panic!("it is stale") };
    assert_eq!((refused.explained, refused.stuck), (vec![write], vec![stale]));
    assert_eq!(refused.state, Some(Book { version: 2, mark: 7, holder: None }));
}

/// Every order there is, tried one by one, with nothing that a search could get wrong.
fn some_order_explains(state: State, left: &[Operation]) -> bool {
    let first_end = left.iter().map(|operation| operation.ended).min().unwrap_or(NEVER);
    let may_be_next = |at: &usize| left[*at].begun <= first_end;
    first_end == NEVER
        || (0..left.len()).filter(may_be_next).any(|at| {
            let Some(after) = left[at].call.step(left[at].outcome, state) else { return false };
            let rest: Vec<_> = [&left[..at], &left[at + 1..]].concat();
            some_order_explains(after, &rest)
        })
}

/// A few calls at a time, applied in some order; some callers don't hear of it, and sometimes one
/// answer is changed, which may or may not be explained all the same.
fn drawn(random: &mut StdRng) -> Vec<Operation> {
    let (mut state, mut all) = (Some(NEW), Vec::new());
    for at in 1..=random.random_range(3..8_u64) {
        let call = match random.random_range(0..10) {
            0..3 => Call::Read,
            3..6 => Call::Mark(at),
            6..8 => Call::CheckOut(at),
            8 => Call::Return,
            _ => Call::Remove,
        };
        let (after, outcome) = call.apply(state);
        let (early, late) = (random.random_range(0..40), random.random_range(1..40));
        let unknown = random.random_bool(0.3);
        if !unknown || random.random_bool(0.5) {
            state = after;
        }
        let outcome = if unknown { Outcome::Unknown } else { outcome };
        let (begun, ended) = (100 + at * 10 - early, 100 + at * 10 + late);
        all.push(Operation { client: 0, call, outcome, begun, ended });
    }
    if random.random_bool(0.5) {
        let (from, to) = (random.random_range(0..all.len()), random.random_range(0..all.len()));
        all[to].outcome = all[from].outcome;
    }
    all
}

#[test]
fn it_agrees_with_trying_every_order() {
    let (mut random, mut explained) = (StdRng::seed_from_u64(0), 0);
    let rounds = 3_000;
    for _ in 0..rounds {
        let history = History::new(Some(NEW), drawn(&mut random));
        let expected = some_order_explains(history.start, history.operations());
        let found = matches!(check(&history), Verdict::Linearizable);
        assert_eq!(found, expected, "{:#?}", history.operations());
        explained += usize::from(expected);
    }
    assert!((rounds / 10..rounds * 9 / 10).contains(&explained), "only one kind: {explained}");
}
