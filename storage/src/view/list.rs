//! Pages of things, in id order.

use std::sync::Arc;

use bookmesh_rpc::api::{Filter, Thing, ThingId};

use super::edit::thing_bytes;

/// Encoded bytes of one page: well within a frame.
pub(super) const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// A filter, made ready to be asked many times.
pub(super) struct Wanted<'a> {
    filter: &'a Filter,
    author: Option<String>,
    words: Vec<String>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(filter: &'a Filter) -> Self {
        let author = filter.author.as_deref().map(str::to_lowercase);
        let words = filter.words.iter().map(|word| word.to_lowercase()).collect();
        Self { filter, author, words }
    }

    /// Whether every thing is wanted, the withdrawn too.
    pub(super) fn is_all(&self) -> bool {
        *self.filter == Filter { inactive: true, ..Filter::default() }
    }

    pub(super) fn takes(&self, thing: &Thing) -> bool {
        let info = &thing.info;
        (thing.active || self.filter.inactive)
            && self.filter.status.is_none_or(|status| status == info.status)
            && self.filter.tags.iter().all(|tag| thing.tags.contains(tag))
            && self.author.as_ref().is_none_or(|author| *author == info.author.to_lowercase())
            && self.has_words(thing)
    }

    fn has_words(&self, thing: &Thing) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let (name, author) = (thing.info.name.to_lowercase(), thing.info.author.to_lowercase());
        self.words.iter().all(|word| name.contains(word) || author.contains(word))
    }
}

/// Gathers a page from things that come in id order.
pub(super) struct Page {
    after: Option<ThingId>,
    skip: u64,
    limit: usize,
    bytes: usize,
    pub(super) things: Vec<Arc<Thing>>,
    pub(super) cut: bool,
}

impl Page {
    pub(super) fn new(after: Option<ThingId>, skip: u64, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { after, skip, limit, bytes: 0, things: Vec::new(), cut: false }
    }

    /// Takes the next thing that matches, if it belongs to the page.
    pub(super) fn offer(&mut self, thing: &Arc<Thing>) {
        if self.is_full() || self.after.is_some_and(|after| thing.id <= after) {
            return;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.bytes += thing_bytes(thing);
        if self.bytes > MAX_PAGE_BYTES && !self.things.is_empty() {
            self.cut = true;
            return;
        }
        self.things.push(thing.clone());
    }

    /// Whether no more things belong to it.
    pub(super) fn is_full(&self) -> bool {
        self.cut || self.things.len() >= self.limit
    }
}
