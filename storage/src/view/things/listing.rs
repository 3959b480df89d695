//! Pages of a rack's things.

use std::ops::Bound;

use bookmesh_rpc::api::{ListThings, ThingList};

use super::Things;
use crate::view::list::{Page, Wanted};

impl Things {
    /// A page, in id order, of about 4 MiB encoded at most: it is `cut` there.
    pub fn list(&self, query: &ListThings) -> ThingList {
        let wanted = Wanted::new(&query.filter);
        let mut page = Page::new(query.after, query.offset, query.limit);
        let total = if wanted.is_all() {
            let from = query.after.map_or(Bound::Unbounded, Bound::Excluded);
            for thing in self.things.range((from, Bound::Unbounded)).map(|(_, thing)| thing) {
                page.offer(thing);
                if page.is_full() {
                    break;
                }
            }
            self.things.len()
        } else {
            let matching = self.things.values().filter(|thing| wanted.takes(thing));
            matching.inspect(|thing| page.offer(thing)).count()
        };
        let applied_index = self.applied_index.unwrap_or(0);
        ThingList { things: page.things, total: total as u64, cut: page.cut, applied_index }
    }
}
