//! A rack's orders. None is ever changed or removed, and their sequence has no gaps, so a list that
//! begins with the first is all that is needed to find one.

use std::sync::Arc;

use bookmesh_rpc::api::{
    Applied, Kind, ListOrders, ORDER_QUANTITY, Order, OrderList, OrderTerms, Outcome, ThingId,
};

use super::Things;
use crate::view::list::MAX_PAGE_BYTES;
use crate::view::parts::RestoreError;

/// An encoded order's numbers and lengths.
const FIXED_BYTES: usize = 64;

/// The orders of a rack, by sequence.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Orders(Vec<Arc<Order>>);

impl Orders {
    pub(super) fn get(&self, id: ThingId) -> Option<&Arc<Order>> {
        let at = usize::try_from(id.sequence()).ok()?.checked_sub(1)?;
        self.0.get(at).filter(|order| order.id == id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those above an id.
    pub(super) fn above(&self, id: Option<ThingId>) -> &[Arc<Order>] {
        let from = id.map_or(0, |id| self.0.partition_point(|order| order.id <= id));
        self.0.get(from..).unwrap_or_default()
    }

    /// Takes an order of a checkpoint; one that is there already is the same.
    pub(super) fn restore(&mut self, order: Arc<Order>) -> Result<(), RestoreError> {
        let next = self.0.len() as u64 + 1;
        match order.id.sequence() {
            sequence if sequence < next => Ok(()),
            sequence if sequence == next => {
                self.0.push(order);
                Ok(())
            }
            _ => Err(RestoreError("an order without the one before it".into())),
        }
    }
}

impl Things {
    /// The order with this id.
    pub fn order(&self, id: ThingId) -> Option<&Arc<Order>> {
        self.orders.get(id)
    }

    /// A page of orders, in id order, of about 4 MiB encoded at most: it is `cut` there.
    pub fn list_orders(&self, query: &ListOrders) -> OrderList {
        let above = self.orders.above(query.after);
        let skip = usize::try_from(query.offset).unwrap_or(usize::MAX).min(above.len());
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let wanted = above[skip..].iter().take(limit);
        let mut bytes = 0;
        let fits = |order: &&Arc<Order>| {
            bytes += order_bytes(order);
            bytes <= MAX_PAGE_BYTES
        };
        let orders: Vec<_> = wanted.clone().take_while(fits).cloned().collect();
        OrderList {
            cut: orders.len() < wanted.len(),
            orders,
            total: self.orders.len() as u64,
            applied_index: self.applied_index.unwrap_or(0),
        }
    }

    pub(super) fn place_order(&mut self, terms: &OrderTerms) -> Outcome {
        let charter = self.open(Kind::Order)?;
        if !ORDER_QUANTITY.contains(&terms.quantity) {
            return Err(bookmesh_rpc::api::ApiError::invalid("quantity", "is out of range"));
        }
        let id = ThingId::new(charter.number, self.sequence + 1)?;
        let order = Order { id, terms: terms.clone(), created_at_ms: self.time_ms };
        let order = Arc::new(order);
        self.sequence = id.sequence();
        self.orders.0.push(order.clone());
        self.changes.note(id.sequence());
        self.dirty.insert(id);
        Ok(Applied::Order(order))
    }
}

fn order_bytes(order: &Order) -> usize {
    FIXED_BYTES + order.terms.title.len() + order.terms.author.len()
}
