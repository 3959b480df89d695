//! Many calls and streams over one long-lived stream per peer and lane.
//!
//! | file | idea |
//! |---|---|
//! | `outbox` | frames that wait to be written, gathered |
//! | `pump` | the one task of a lane: writes what waits, hands on what arrives |
//! | `client` | the asking side: request ids, waiting callers, cancellation |
//! | `server` | the answering side: running calls and streams, limits |
//! | `items` | the two ends of a stream of items, and its credit |

mod client;
mod items;
mod outbox;
mod pump;
mod server;

pub(crate) use client::{ClientLane, LaneError};
pub(crate) use items::local_stream;
pub use items::{ItemSink, Items, SinkClosed};
pub(crate) use pump::{Ended, Traffic};
pub(crate) use server::{Served, ServiceCell, guarded, settle};
