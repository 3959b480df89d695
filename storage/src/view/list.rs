//! Pages of things, in id order.

use std::sync::Arc;

use bookmesh_rpc::api::Thing;

use super::edit::thing_bytes;

/// Encoded bytes of one page: well within a frame.
pub(super) const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Gathers a page from things that come in id order.
pub(super) struct Page {
    limit: usize,
    bytes: usize,
    pub(super) things: Vec<Arc<Thing>>,
    pub(super) cut: bool,
}

impl Page {
    pub(super) fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, bytes: 0, things: Vec::new(), cut: false }
    }

    /// Takes the next thing that matches, if it belongs to the page.
    pub(super) fn offer(&mut self, thing: &Arc<Thing>) {
        if self.is_full() {
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
