//! How far what only grows at its end is in a checkpoint.

/// The place of the first that is in no checkpoint yet, among all that ever were.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SavedTo(u64);

impl SavedTo {
    /// Everything below this place is saved.
    pub(super) fn set(&mut self, place: u64) {
        self.0 = place;
    }

    pub(super) fn place(self) -> u64 {
        self.0
    }

    /// How many of so many, of which the oldest has the place `first`, are saved.
    pub(super) fn skipped(self, first: u64, len: usize) -> usize {
        let saved = self.0.saturating_sub(first);
        usize::try_from(saved).map_or(len, |saved| saved.min(len))
    }

    /// How many of those are not.
    pub(super) fn unsaved(self, first: u64, len: usize) -> usize {
        len - self.skipped(first, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_dropped_counts_as_neither() {
        let mut saved = SavedTo::default();
        assert_eq!((saved.skipped(5, 10), saved.unsaved(5, 10)), (0, 10));
        saved.set(8);
        assert_eq!((saved.skipped(5, 10), saved.unsaved(5, 10)), (3, 7));
        assert_eq!((saved.skipped(8, 2), saved.unsaved(9, 2)), (0, 2));
        assert_eq!((saved.skipped(0, 4), saved.unsaved(0, 4)), (4, 0));
    }
}
