//! What several sets of things have in common.

use std::borrow::Cow;

use roaring::RoaringBitmap;

/// Things by their sequence, in order.
#[derive(Clone, Copy)]
pub(super) enum Set<'a> {
    List(&'a [u32]),
    Bits(&'a RoaringBitmap),
}

impl Set<'_> {
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::List(ids) => ids.len() as u64,
            Self::Bits(bits) => bits.len(),
        }
    }

    fn contains(&self, id: u32) -> bool {
        match self {
            Self::List(ids) => ids.binary_search(&id).is_ok(),
            Self::Bits(bits) => bits.contains(id),
        }
    }
}

/// Things that match, in order.
pub(in crate::view) enum Matches<'a> {
    List(Vec<u32>),
    Bits(Cow<'a, RoaringBitmap>),
}

impl Default for Matches<'_> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl From<RoaringBitmap> for Matches<'_> {
    fn from(bits: RoaringBitmap) -> Self {
        Self::Bits(Cow::Owned(bits))
    }
}

impl<'a> Matches<'a> {
    /// Those that are in all of these sets, of which there is one at least. Costs what the smallest
    /// has; of bitmaps a few microseconds for each million things.
    pub(super) fn of_all(mut sets: Vec<Set<'a>>) -> Self {
        sets.sort_by_key(Set::len);
        let Some((smallest, others)) = sets.split_first() else { return Self::default() };
        match smallest {
            Set::List(ids) => {
                let in_all = |id: &u32| others.iter().all(|set| set.contains(*id));
                Self::List(ids.iter().copied().filter(in_all).collect())
            }
            Set::Bits(bits) => {
                let mut common = Cow::Borrowed(*bits);
                for other in others {
                    if common.is_empty() {
                        break;
                    }
                    match other {
                        Set::Bits(other) => common = Cow::Owned(common.as_ref() & *other),
                        Set::List(_) => {
                            let in_both = common.iter().filter(|id| other.contains(*id));
                            common = Cow::Owned(in_both.collect());
                        }
                    }
                }
                Self::Bits(common)
            }
        }
    }

    pub(in crate::view) fn len(&self) -> u64 {
        match self {
            Self::List(ids) => ids.len() as u64,
            Self::Bits(bits) => bits.len(),
        }
    }

    /// From one on, without so many of the first. Goes there at once.
    pub(in crate::view) fn ids(&self, from: u32, skip: u64) -> impl Iterator<Item = u32> {
        let (mut list, mut bits) = (None, None);
        match self {
            Self::List(ids) => {
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let at = ids.partition_point(|id| *id < from).saturating_add(skip);
                list = ids.get(at..);
            }
            Self::Bits(matching) => {
                let before = from.checked_sub(1).map_or(0, |last| matching.rank(last));
                let first = u32::try_from(before.saturating_add(skip)).ok();
                let first = first.and_then(|at| matching.select(at));
                bits = first.map(|first| matching.range(first..));
            }
        }
        list.into_iter().flatten().copied().chain(bits.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_is_where_a_walk_would_come_to() {
        let odd: RoaringBitmap = (0..200_000).filter(|n| n % 2 == 1).collect();
        let third: RoaringBitmap = (0..200_000).filter(|n| n % 3 == 0).collect();
        let few = [3, 4, 9, 15, 199_995, 500_000];
        let both = Matches::of_all(vec![Set::Bits(&odd), Set::Bits(&third)]);
        let all = Matches::of_all(vec![Set::Bits(&odd), Set::List(&few), Set::Bits(&third)]);
        let walk: Vec<u32> = (0..200_000).filter(|n| n % 6 == 3).collect();
        for (matches, walk) in [(both, walk), (all, vec![3, 9, 15, 199_995])] {
            assert_eq!(matches.len(), walk.len() as u64);
            for from in [0, 1, 3, 4, 65_535, 65_536, 199_995, 199_996, u32::MAX] {
                for skip in [0, 1, 2, 30_000, u64::MAX] {
                    let at = usize::try_from(skip).unwrap();
                    let wanted = walk.iter().copied().filter(|id| *id >= from).skip(at);
                    assert!(matches.ids(from, skip).eq(wanted), "{from} {skip}");
                }
            }
        }
        assert_eq!(Matches::default().ids(0, 0).next(), None);
    }
}
