//! The things of one term. Most terms have one or few: those take no memory of their own.

use roaring::RoaringBitmap;

use super::matches::Set;

/// Things that a posting holds in itself: as many as make it no larger.
const INLINE: usize = 3;
/// Things that are a list: beyond that a bitmap is smaller, and joined faster.
const FEW: usize = 256;

/// Sequences, each once, in order.
#[derive(Clone, Debug)]
pub(super) enum Posting {
    Inline { len: u8, ids: [u32; INLINE] },
    Few(Box<List>),
    Many(Box<RoaringBitmap>),
}

/// In a box, which is half as large in each of many postings.
#[derive(Clone, Debug)]
pub(super) struct List(Vec<u32>);

impl Posting {
    pub(super) fn of(id: u32) -> Self {
        Self::inline(&[id])
    }

    fn inline(from: &[u32]) -> Self {
        let mut ids = [0; INLINE];
        let len = from.len().min(INLINE);
        ids[..len].copy_from_slice(&from[..len]);
        Self::Inline { len: len as u8, ids }
    }

    pub(super) fn set(&self) -> Set<'_> {
        match self {
            Self::Inline { len, ids } => Set::List(&ids[..usize::from(*len)]),
            Self::Few(list) => Set::List(&list.0),
            Self::Many(bits) => Set::Bits(bits),
        }
    }

    pub(super) fn insert(&mut self, id: u32) {
        match self {
            Self::Inline { len, ids } => {
                let there = &ids[..usize::from(*len)];
                let Err(at) = there.binary_search(&id) else { return };
                let mut all = [0; INLINE + 1];
                all[..at].copy_from_slice(&there[..at]);
                all[at] = id;
                all[at + 1..=there.len()].copy_from_slice(&there[at..]);
                let all = &all[..=there.len()];
                let fits = all.len() <= INLINE;
                let many = || Self::Few(Box::new(List(all.to_vec())));
                *self = if fits { Self::inline(all) } else { many() };
            }
            Self::Few(list) => {
                put(&mut list.0, id);
                if list.0.len() > FEW {
                    *self = Self::Many(Box::new(list.0.iter().copied().collect()));
                }
            }
            Self::Many(bits) => {
                bits.insert(id);
            }
        }
    }

    pub(super) fn remove(&mut self, id: u32) {
        match self {
            Self::Inline { len, ids } => {
                let mut list = ids[..usize::from(*len)].to_vec();
                list.retain(|there| *there != id);
                *self = Self::inline(&list);
            }
            Self::Few(list) => {
                if let Ok(at) = list.0.binary_search(&id) {
                    list.0.remove(at);
                }
                if list.0.len() <= INLINE {
                    *self = Self::inline(&list.0);
                }
            }
            Self::Many(bits) => {
                bits.remove(id);
                // Well below, so that one that comes and goes does not make it anew each time.
                if bits.len() <= FEW as u64 / 2 {
                    *self = Self::Few(Box::new(List(bits.iter().collect())));
                }
            }
        }
    }
}

fn put(list: &mut Vec<u32>, id: u32) {
    if let Err(at) = list.binary_search(&id) {
        list.insert(at, id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ids(posting: &Posting) -> Vec<u32> {
        match posting.set() {
            Set::List(ids) => ids.to_vec(),
            Set::Bits(bits) => bits.iter().collect(),
        }
    }

    #[test]
    fn one_of_few_things_is_small() {
        assert_eq!(size_of::<Posting>(), 16);
    }

    #[test]
    fn it_is_a_set_however_many_it_has() {
        let (mut posting, mut model) = (Posting::of(7), BTreeSet::from([7]));
        let check = |posting: &Posting, model: &BTreeSet<u32>| {
            assert!(ids(posting).iter().eq(model));
            assert_eq!(posting.set().len(), model.len() as u64);
        };
        // Up over both borders and down again, in no order, some twice.
        for n in 0..1200_u32 {
            let id = n.wrapping_mul(7919) % 600;
            posting.insert(id);
            model.insert(id);
            check(&posting, &model);
        }
        assert!(matches!(posting, Posting::Many(_)));
        for n in 0..1200_u32 {
            let id = n.wrapping_mul(6101) % 600;
            posting.remove(id);
            model.remove(&id);
            check(&posting, &model);
        }
        assert!(matches!(posting, Posting::Inline { len: 0, .. }));
    }
}
