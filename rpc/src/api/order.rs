//! Orders: what a rack of kind [`super::Kind::Order`] stores. An order is never changed.

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Cents, Consistency, RackId, RequestKey, ThingId};

/// Copies that one order may ask for.
pub const ORDER_QUANTITY: RangeInclusive<u32> = 1..=1_000_000;

/// One order: what its book was at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Unique among orders.
    pub id: ThingId,
    /// What was ordered.
    pub terms: OrderTerms,
    /// When, milliseconds since 1970, stamped by the leader.
    pub created_at_ms: u64,
}

/// What was ordered, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// Which book.
    pub book: ThingId,
    /// Its title then.
    pub title: String,
    /// Its author then.
    pub author: String,
    /// How many.
    pub quantity: u32,
    /// Its price then, each.
    pub unit_price: Cents,
}

/// Orders a book: the order rack's leader asks the book's rack what it is, and keeps that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceOrder {
    /// The rack that keeps the order.
    pub rack: RackId,
    /// Makes a retry safe.
    pub key: RequestKey,
    /// Which book.
    pub book: ThingId,
    /// How many, see [`ORDER_QUANTITY`].
    pub quantity: u32,
}

/// Reads one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetOrder {
    /// Where it is.
    pub rack: RackId,
    /// Which.
    pub id: ThingId,
    /// How fresh.
    pub consistency: Consistency,
}

/// One order, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRead {
    /// The order.
    pub order: Arc<Order>,
    /// The log index that the answer shows.
    pub applied_index: u64,
}

/// One page of a rack's orders, in id order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOrders {
    /// Where.
    pub rack: RackId,
    /// Only ids above this one.
    pub after: Option<ThingId>,
    /// How many of those to pass over.
    pub offset: u64,
    /// How many at most; 0 asks for the count alone.
    pub limit: u32,
    /// How fresh.
    pub consistency: Consistency,
}

/// A page of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderList {
    /// In id order.
    pub orders: Vec<Arc<Order>>,
    /// How many the rack has.
    pub total: u64,
    /// The page ends before its limit because it is as large as an answer may be: ask on.
    pub cut: bool,
    /// The log index that the answer shows.
    pub applied_index: u64,
}
