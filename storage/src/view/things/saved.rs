//! What a checkpoint of a rack consists of, given out and taken back.

use std::ops::ControlFlow;
use std::sync::Arc;

use bookmesh_rpc::api::{Order, Thing, ThingId};
use serde::{Deserialize, Serialize};

use super::{Founded, Things, import_entry};
use crate::view::changes::ChangesItem;
use crate::view::client_keys::ClientItem;
use crate::view::floors::Floors;
use crate::view::members::Admitted;
use crate::view::parts::{PartWriter, RestoreError};
use crate::view::remembered::RetryItem;

/// What a checkpoint consists of.
#[derive(Serialize, Deserialize)]
pub(super) enum Item {
    Thing(Arc<Thing>),
    Order(Arc<Order>),
    Gone(ThingId),
    Changes(ChangesItem),
    Member(Admitted),
    Kept(RetryItem),
    /// A thing that the key before it forgot.
    Forgotten(Arc<Thing>),
    Client(ClientItem),
    /// A thing that the client's key before it forgot.
    ClientForgotten(Arc<Thing>),
    /// Ends every delta.
    State {
        founded: Option<Founded>,
        sequence: u64,
        time_ms: u64,
        applied_index: Option<u64>,
        remembered_from: u64,
        floors: Floors,
        clients: (u64, u64),
    },
}

impl Things {
    /// Gives out changed things, up to so many bytes and the one that passes them.
    pub(super) fn give_dirty(&mut self, parts: &mut PartWriter, max_bytes: usize) {
        while parts.bytes() < max_bytes
            && let Some(id) = self.dirty.pop_first()
        {
            match (self.things.get(&id), self.orders.get(id)) {
                (Some(thing), _) => parts.push(&Item::Thing(thing.clone())),
                (None, Some(order)) => parts.push(&Item::Order(order.clone())),
                (None, None) => parts.push(&Item::Gone(id)),
            }
        }
    }

    /// Gives out remembered keys, up to so many bytes and the answer that passes them. One may say
    /// "the thing as it stands" where that was given out before it.
    pub(super) fn give_remembered(&mut self, parts: &mut PartWriter, max_bytes: usize) {
        let saved = self.remembered.each_unsaved(
            |id| self.given_out(id),
            |kept, forgotten| {
                parts.push(&Item::Kept(kept));
                forgotten.iter().for_each(|thing| parts.push(&Item::Forgotten(thing.clone())));
                up_to(max_bytes, parts)
            },
        );
        self.remembered.set_saved(saved);
    }

    /// As [`Things::give_remembered`], of clients' keys.
    pub(super) fn give_clients(&mut self, parts: &mut PartWriter, max_bytes: usize) {
        let saved = self.clients.each_unsaved(
            |id| self.given_out(id),
            |kept, forgotten| {
                parts.push(&Item::Client(kept));
                let things = forgotten.iter();
                things.for_each(|thing| parts.push(&Item::ClientForgotten(thing.clone())));
                up_to(max_bytes, parts)
            },
        );
        self.clients.set_saved(saved);
    }

    /// A thing as a restored view has it at this place of the checkpoint.
    fn given_out(&self, id: ThingId) -> Option<&Arc<Thing>> {
        self.things.get(&id).filter(|_| !self.dirty.contains(&id))
    }

    pub(super) fn restore_item(&mut self, item: Item) -> Result<(), RestoreError> {
        match item {
            Item::Thing(thing) => {
                let before = self.things.insert(thing.id, thing.clone());
                if let Some(before) = &before {
                    self.by_import_key.remove(&import_entry(before));
                }
                if thing.active {
                    self.by_import_key.insert(import_entry(&thing));
                }
                self.index.replace(before.as_deref(), Some(&thing));
            }
            Item::Order(order) => self.orders.restore(order)?,
            Item::Gone(id) => self.restore_gone(id),
            Item::Changes(changes) => self.changes.restore(changes)?,
            Item::Member(member) => self.members.restore(member),
            Item::Kept(kept) => {
                let things = &self.things;
                if !self.remembered.restore(kept, |id| things.get(&id)) {
                    return Err(RestoreError("a remembered answer without its thing".into()));
                }
            }
            Item::Forgotten(thing) => {
                if !self.remembered.restore_forgotten(thing) {
                    return Err(RestoreError("a forgotten thing without its answer".into()));
                }
            }
            Item::Client(kept) => {
                let things = &self.things;
                if !self.clients.restore(kept, |id| things.get(&id)) {
                    return Err(RestoreError("a client's answer without its thing".into()));
                }
            }
            Item::ClientForgotten(thing) => {
                if !self.clients.restore_forgotten(thing) {
                    return Err(RestoreError("a forgotten thing without its answer".into()));
                }
            }
            Item::State {
                founded,
                sequence,
                time_ms,
                applied_index,
                remembered_from,
                floors,
                clients,
            } => {
                self.founded = founded;
                (self.sequence, self.time_ms) = (sequence, time_ms);
                self.applied_index = applied_index;
                self.remembered.restore_end(remembered_from, floors);
                self.clients.restore_end(clients);
                self.members.set_saved();
                self.changes.set_saved();
            }
        }
        Ok(())
    }

    fn restore_gone(&mut self, id: ThingId) {
        if let Some(thing) = self.things.remove(&id) {
            self.by_import_key.remove(&import_entry(&thing));
            self.index.replace(Some(&thing), None);
        }
    }
}

fn up_to(max_bytes: usize, parts: &PartWriter) -> ControlFlow<()> {
    if parts.bytes() < max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
