//! Pages of a rack's things.

use std::cmp::Ordering;

use bookmesh_rpc::api::{ListThings, ThingId, ThingList};

use super::Things;
use crate::view::list::Page;

impl Things {
    /// A page, in id order, of about 4 MiB encoded at most: it is `cut` there. It costs what it
    /// shows, wherever it is; filters cost little beside it.
    pub fn list(&self, query: &ListThings) -> ThingList {
        let matches = self.index.find(&query.filter);
        let mut page = Page::new(query.limit);
        if let Some((number, from)) = self.number().zip(self.first_behind(query.after)) {
            for sequence in matches.ids(from, query.offset) {
                if page.is_full() {
                    break;
                }
                let id = ThingId::new(number, sequence.into()).ok();
                if let Some(thing) = id.and_then(|id| self.things.get(&id)) {
                    page.offer(thing);
                }
            }
        }
        let applied_index = self.applied_index.unwrap_or(0);
        ThingList { things: page.things, total: matches.len(), cut: page.cut, applied_index }
    }

    /// The sequence that a page behind this id begins with, if there can be one.
    fn first_behind(&self, after: Option<ThingId>) -> Option<u32> {
        let Some(after) = after else { return Some(0) };
        match after.rack_number().cmp(&self.number()?) {
            Ordering::Less => Some(0),
            Ordering::Equal => u32::try_from(after.sequence() + 1).ok(),
            Ordering::Greater => None,
        }
    }
}
