//! Which things have what: for every term the sequences of the things that have it, so that a list
//! costs what it shows and not what the rack holds.
//!
//! Derived from the things alone: it stands in no checkpoint, and is made again when one is
//! restored. Of 1,000,000 books with the titles and as many authors as real ones it takes about 85
//! bytes each.
//!
//! | file | idea |
//! |---|---|
//! | `term` | a tag, an author or a word, in 16 bytes |
//! | `posting` | the things of one term, small while they are few |
//! | `matches` | what several terms have in common, and any place in it |

mod matches;
mod posting;
mod term;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bookmesh_rpc::api::{Filter, Status, Thing};
use roaring::RoaringBitmap;

pub(super) use self::matches::Matches;
use self::matches::Set;
use self::posting::Posting;
use self::term::Term;

/// Maps that share the terms: one of all would, at millions of terms, stop everything for a tenth
/// of a second whenever it grows. They hold some thousands each then.
const SHARDS: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Index {
    active: RoaringBitmap,
    withdrawn: RoaringBitmap,
    /// By status, the withdrawn too.
    available: RoaringBitmap,
    checked_out: RoaringBitmap,
    /// By the first byte of the term.
    terms: Vec<HashMap<Term, Posting>>,
}

impl Default for Index {
    fn default() -> Self {
        let set = RoaringBitmap::new;
        let terms = vec![HashMap::new(); SHARDS];
        Self { active: set(), withdrawn: set(), available: set(), checked_out: set(), terms }
    }
}

impl Index {
    /// A thing takes the place of what it was before; `None` is one that is not there.
    pub(super) fn replace(&mut self, before: Option<&Thing>, after: Option<&Thing>) {
        let terms = |thing: Option<&Thing>| thing.map(Term::all_of).unwrap_or_default();
        let same = match (before, after) {
            (Some(before), Some(after)) => text_of(before) == text_of(after),
            _ => false,
        };
        let (gone, new) = if same { Default::default() } else { (terms(before), terms(after)) };
        if let Some((before, sequence)) = before.and_then(numbered) {
            self.state(before).remove(sequence);
            self.status(before.info.status).remove(sequence);
            let gone = gone.iter().filter(|term| new.binary_search(term).is_err());
            gone.for_each(|term| self.remove(term, sequence));
        }
        if let Some((after, sequence)) = after.and_then(numbered) {
            self.state(after).insert(sequence);
            self.status(after.info.status).insert(sequence);
            let new = new.iter().filter(|term| gone.binary_search(term).is_err());
            new.for_each(|term| self.insert(*term, sequence));
        }
    }

    /// The things that a filter takes.
    pub(super) fn find(&self, filter: &Filter) -> Matches<'_> {
        let mut sets = Vec::new();
        for term in Term::all_wanted(filter) {
            match term.and_then(|term| self.terms[term.shard()].get(&term)) {
                Some(posting) => sets.push(posting.set()),
                None => return Matches::default(),
            }
        }
        match filter.status {
            Some(Status::Available) => sets.push(Set::Bits(&self.available)),
            Some(Status::CheckedOut) => sets.push(Set::Bits(&self.checked_out)),
            None => {}
        }
        match (filter.inactive, self.withdrawn.is_empty(), sets.is_empty()) {
            (true, false, true) => return Matches::from(&self.active | &self.withdrawn),
            // All are active, or those that are not are wanted too.
            (true, _, false) | (_, true, false) => {}
            (false, ..) | (true, true, true) => sets.push(Set::Bits(&self.active)),
        }
        Matches::of_all(sets)
    }

    fn state(&mut self, thing: &Thing) -> &mut RoaringBitmap {
        if thing.active { &mut self.active } else { &mut self.withdrawn }
    }

    fn status(&mut self, status: Status) -> &mut RoaringBitmap {
        match status {
            Status::Available => &mut self.available,
            Status::CheckedOut => &mut self.checked_out,
        }
    }

    fn insert(&mut self, term: Term, sequence: u32) {
        match self.terms[term.shard()].entry(term) {
            Entry::Occupied(mut there) => there.get_mut().insert(sequence),
            Entry::Vacant(place) => {
                place.insert(Posting::of(sequence));
            }
        }
    }

    fn remove(&mut self, term: &Term, sequence: u32) {
        let terms = &mut self.terms[term.shard()];
        if let Some(posting) = terms.get_mut(term) {
            posting.remove(sequence);
            if posting.set().len() == 0 {
                terms.remove(term);
            }
        }
    }
}

/// What the terms of a thing are made of.
fn text_of(thing: &Thing) -> (&[String], &str, &str) {
    (&thing.tags, &thing.info.name, &thing.info.author)
}

/// A rack holds fewer things than 32 bits count: it refuses what has no room in its changes.
fn numbered(thing: &Thing) -> Option<(&Thing, u32)> {
    u32::try_from(thing.id.sequence()).ok().map(|sequence| (thing, sequence))
}
