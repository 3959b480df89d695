//! What became of a rack's things, and when.

use bookmesh_rpc::api::{Position, ThingId};

use super::Things;
use crate::view::changes::Noted;

/// A change as the view knows it: where the log says what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedChange {
    /// The command's place.
    pub at: Position,
    /// Of which thing or order.
    pub id: ThingId,
    /// The how-many-th change of it, from 1.
    pub version: u64,
}

impl Things {
    /// The changes of one thing or order that made later versions than `after`, oldest first, at
    /// most `limit`; and how many it has in all. Things that were removed have theirs still;
    /// `None` for one that never was.
    pub fn history(
        &self,
        id: ThingId,
        after: u64,
        limit: usize,
    ) -> Option<(Vec<NotedChange>, u64)> {
        self.number().filter(|number| *number == id.rack_number())?;
        let (noted, total) = self.changes.of(id.sequence(), after, limit)?;
        Some((self.named(noted), total))
    }

    /// All changes behind a place, or from the first on, in the log's order: `limit` of them, and
    /// what else the last one's command changed.
    pub fn changes_behind(&self, after: Option<Position>, limit: usize) -> Vec<NotedChange> {
        self.named(self.changes.behind(after, limit))
    }

    fn named(&self, noted: Vec<Noted>) -> Vec<NotedChange> {
        let number = self.number().unwrap_or_default();
        let named = noted.into_iter().filter_map(|Noted { at, sequence, version }| {
            let id = ThingId::new(number, sequence.into()).ok()?;
            Some(NotedChange { at, id, version })
        });
        named.collect()
    }
}
