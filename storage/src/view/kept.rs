//! First answers, as they are remembered: small, and sharing their thing with the view while it
//! stands there as it was.

use std::sync::Arc;

use bookmesh_rpc::api::{ApiError, Applied, Order, Outcome, Registered, Thing, ThingId};
use serde::{Deserialize, Serialize};

use super::edit::thing_bytes;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// A thing, and how it was registered when it was.
    Held(Option<Registered>, Arc<Thing>),
    /// The same by reference: known while the thing has this version.
    Named(Option<Registered>, ThingId, u64),
    /// An order, which stands in the view for ever.
    Order(ThingId),
    /// What was let go and nothing in the view tells.
    Lost,
    /// All else.
    Other(Box<Outcome>),
}

/// An answer in a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum KeptItem {
    /// The thing as it stands in the view at this place of the checkpoint.
    Current(Option<Registered>, ThingId),
    /// See [`Kept::Named`].
    Named(Option<Registered>, ThingId, u64),
    /// See [`Kept::Order`].
    Order(ThingId),
    /// See [`Kept::Lost`].
    Lost,
    /// Forgotten things follow, each an item of its own: together they can be large.
    Forgotten,
    /// All else.
    Outcome(Outcome),
}

impl Kept {
    /// The answer; `current` finds a thing in the view, `order` an order.
    pub(super) fn outcome<'a>(
        &self,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
        order: impl Fn(ThingId) -> Option<&'a Arc<Order>>,
    ) -> Outcome {
        match self {
            Self::Held(how, thing) => Ok(applied(*how, thing.clone())),
            Self::Named(how, id, version) => {
                let thing = current(*id).filter(|thing| thing.version == *version);
                thing.map(|thing| applied(*how, thing.clone())).ok_or(ApiError::OutcomeForgotten)
            }
            Self::Order(id) => order(*id)
                .map(|order| Applied::Order(order.clone()))
                .ok_or(ApiError::OutcomeForgotten),
            Self::Lost => Err(ApiError::OutcomeForgotten),
            Self::Other(outcome) => outcome.as_ref().clone(),
        }
    }

    /// The bytes of things that it may keep in memory; errors are small.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Held(_, thing) => thing_bytes(thing),
            Self::Named(..) | Self::Order(_) | Self::Lost => 0,
            Self::Other(outcome) => match outcome.as_ref() {
                Ok(Applied::Forgotten(things)) => things.iter().map(|t| thing_bytes(t)).sum(),
                _ => 0,
            },
        }
    }

    /// Keeps no thing in memory from here on.
    pub(super) fn let_go(&mut self) {
        match self {
            Self::Held(how, thing) => *self = Self::Named(*how, thing.id, thing.version),
            Self::Other(outcome) if matches!(**outcome, Ok(Applied::Forgotten(_))) => {
                *self = Self::Lost;
            }
            Self::Named(..) | Self::Order(_) | Self::Lost | Self::Other(_) => {}
        }
    }

    /// How it stands in a checkpoint, and the things that have to follow it. `current` finds what
    /// a restored view has at this place.
    pub(super) fn item<'a>(
        &'a self,
        current: &impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
    ) -> (KeptItem, &'a [Arc<Thing>]) {
        match self {
            Self::Held(how, thing) => {
                let stands = current(thing.id).is_some_and(|now| now.version == thing.version);
                if stands {
                    return (KeptItem::Current(*how, thing.id), &[]);
                }
                (KeptItem::Outcome(Ok(applied(*how, thing.clone()))), &[])
            }
            Self::Named(how, id, version) => (KeptItem::Named(*how, *id, *version), &[]),
            Self::Order(id) => (KeptItem::Order(*id), &[]),
            Self::Lost => (KeptItem::Lost, &[]),
            Self::Other(outcome) => match outcome.as_ref() {
                Ok(Applied::Forgotten(things)) => (KeptItem::Forgotten, things),
                other => (KeptItem::Outcome(other.clone()), &[]),
            },
        }
    }

    /// Takes an answer of a checkpoint. `None` when the thing that it answers is not there.
    pub(super) fn restored<'a>(
        item: KeptItem,
        current: impl Fn(ThingId) -> Option<&'a Arc<Thing>>,
    ) -> Option<Self> {
        Some(match item {
            KeptItem::Current(how, id) => Self::Held(how, current(id)?.clone()),
            KeptItem::Named(how, id, version) => Self::Named(how, id, version),
            KeptItem::Order(id) => Self::Order(id),
            KeptItem::Lost => Self::Lost,
            KeptItem::Forgotten => Self::Other(Box::new(Ok(Applied::Forgotten(Vec::new())))),
            KeptItem::Outcome(outcome) => Self::from(&outcome),
        })
    }

    /// Takes a thing that followed it in a checkpoint, and tells its bytes. `None` when it forgot
    /// none.
    pub(super) fn add_forgotten(&mut self, thing: Arc<Thing>) -> Option<usize> {
        let Self::Other(outcome) = self else { return None };
        let Ok(Applied::Forgotten(things)) = outcome.as_mut() else { return None };
        let bytes = thing_bytes(&thing);
        things.push(thing);
        Some(bytes)
    }
}

impl From<&Outcome> for Kept {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Ok(Applied::Thing(thing)) => Self::Held(None, thing.clone()),
            Ok(Applied::Registered(how, thing)) => Self::Held(Some(*how), thing.clone()),
            Ok(Applied::Order(order)) => Self::Order(order.id),
            other => Self::Other(Box::new(other.clone())),
        }
    }
}

fn applied(how: Option<Registered>, thing: Arc<Thing>) -> Applied {
    match how {
        None => Applied::Thing(thing),
        Some(how) => Applied::Registered(how, thing),
    }
}
