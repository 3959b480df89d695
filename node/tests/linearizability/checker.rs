//! Whether the calls of a history can be put in one order that explains every answer, each at a
//! moment between its beginning and its end.
//!
//! The search is Wing and Gong's, with Lowe's memory of what was tried: "Testing for
//! linearizability", 2017. Where clients see a book's version it seldom takes a wrong turn.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::history::{History, NEVER, Operation};
use super::model::{State, may_follow};
use super::unknown::narrow;

/// Orders that are tried before it gives up.
const MOST_STEPS: usize = 20_000_000;
/// Calls of the longest order that a refusal shows.
const SHOWN: usize = 12;

/// No order explains this.
#[derive(Debug)]
pub struct Refused {
    /// The end of an order that explains as much as any other.
    pub explained: Vec<Operation>,
    /// The book after it.
    pub state: State,
    /// What can't come next, and has to.
    pub stuck: Vec<Operation>,
}

#[derive(Debug)]
pub enum Verdict {
    Linearizable,
    Refused(Refused),
    /// There were too many orders to try.
    Undecided,
}

/// Looks for an order.
pub fn check(history: &History) -> Verdict {
    Search::new(history).run()
}

struct Search<'a> {
    /// As clients know them, for people.
    known: &'a [Operation],
    all: Vec<Operation>,
    left: Left,
    state: State,
    order: Vec<Step>,
    /// What was left and the state, for all that was tried.
    tried: HashSet<(usize, Vec<usize>, State)>,
    /// By how many calls it explains that have an end; and of such the shortest.
    best: Option<((usize, Reverse<usize>), Refused)>,
}

/// One call that has its place, and what else could have had it.
struct Step {
    at: usize,
    /// The state before it, and how far the order had come.
    before: State,
    reached: usize,
    /// In the order in which they are to be tried.
    others: std::vec::IntoIter<usize>,
}

impl<'a> Search<'a> {
    fn new(history: &'a History) -> Self {
        let known = history.operations();
        let (all, left, tried) = (narrow(known), Left::new(known.len()), HashSet::new());
        Self { known, all, left, state: history.start, order: Vec::new(), tried, best: None }
    }

    fn run(mut self) -> Verdict {
        let mut reached = 0;
        let Some(mut candidates) = self.candidates() else { return Verdict::Linearizable };
        for _ in 0..MOST_STEPS {
            if let Some((at, after)) = self.next(&mut candidates, reached) {
                self.order.push(Step { at, before: self.state, reached, others: candidates });
                self.state = after;
                reached = reached.max(at + 1);
                match self.candidates() {
                    Some(next) => candidates = next,
                    None => return Verdict::Linearizable,
                }
            } else {
                self.note_best();
                let Some(step) = self.order.pop() else { return self.refused() };
                self.left.put_back(step.at);
                (self.state, reached, candidates) = (step.before, step.reached, step.others);
            }
        }
        Verdict::Undecided
    }

    /// Takes the first candidate that leads to something new.
    fn next(
        &mut self,
        candidates: &mut std::vec::IntoIter<usize>,
        reached: usize,
    ) -> Option<(usize, State)> {
        for at in candidates {
            let Operation { call, outcome, .. } = self.all[at];
            let Some(after) = call.step(outcome, self.state) else { continue };
            self.left.take(at);
            let reached = reached.max(at + 1);
            let behind = self.left.iter().take_while(|at| *at < reached).collect();
            if self.tried.insert((reached, behind, after)) {
                return Some((at, after));
            }
            self.left.put_back(at);
        }
        None
    }

    /// The calls that may come next: those that began before any other that is left had ended.
    /// Those with an end first. `None` when only such are left as may never happen.
    fn candidates(&self) -> Option<std::vec::IntoIter<usize>> {
        let (mut found, mut first_end) = (Vec::new(), NEVER);
        for at in self.left.iter() {
            let operation = &self.all[at];
            if operation.begun > first_end {
                break;
            }
            first_end = first_end.min(operation.ended);
            found.push(at);
        }
        if first_end == NEVER {
            return None;
        }
        let mut alike = HashSet::new();
        found.retain(|at| {
            let Operation { call, begun, ended, .. } = self.all[*at];
            // Of those that are alike the earliest stands for all.
            begun <= first_end && (ended != NEVER || alike.insert(call))
        });
        let possible = |at: &usize| {
            let Operation { call, outcome, ended, .. } = self.all[*at];
            ended == NEVER || may_follow(self.state, call, outcome)
        };
        if !found.iter().all(possible) {
            found.clear();
        }
        found.sort_by_key(|at| self.all[*at].ended);
        Some(found.into_iter())
    }

    fn note_best(&mut self) {
        let ended = self.order.iter().filter(|step| self.all[step.at].ended != NEVER).count();
        let explains = (ended, Reverse(self.order.len()));
        if self.best.as_ref().is_some_and(|(best, _)| *best >= explains) {
            return;
        }
        let tail = &self.order[self.order.len().saturating_sub(SHOWN)..];
        let first_end = self.left.iter().map(|at| self.all[at].ended).min().unwrap_or(NEVER);
        let stuck = self.left.iter().map(|at| self.known[at]);
        let refused = Refused {
            explained: tail.iter().map(|step| self.known[step.at]).collect(),
            state: self.state,
            stuck: stuck.filter(|it| it.begun <= first_end).collect(),
        };
        self.best = Some((explains, refused));
    }

    fn refused(mut self) -> Verdict {
        self.note_best();
        self.best.take().map_or(Verdict::Undecided, |(_, refused)| Verdict::Refused(refused))
    }
}

/// The calls without a place yet, in order, as a list that gives back what was taken last.
struct Left {
    /// By position, one further than the call's: position 0 is before the first.
    next: Vec<usize>,
    previous: Vec<usize>,
}

impl Left {
    fn new(count: usize) -> Self {
        let next = (1..=count + 1).collect();
        let previous = (0..=count + 1).map(|at| at.saturating_sub(1)).collect();
        Self { next, previous }
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let end = self.next.len();
        let first = Some(self.next[0]).filter(move |at| *at < end);
        std::iter::successors(first, move |at| Some(self.next[*at]).filter(|at| *at < end))
            .map(|at| at - 1)
    }

    fn take(&mut self, call: usize) {
        let (before, after) = (self.previous[call + 1], self.next[call + 1]);
        self.next[before] = after;
        self.previous[after] = before;
    }

    fn put_back(&mut self, call: usize) {
        let (before, after) = (self.previous[call + 1], self.next[call + 1]);
        self.next[before] = call + 1;
        self.previous[after] = call + 1;
    }
}
