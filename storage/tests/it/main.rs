//! What the store promises, one scenario a file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod disk;
mod strace;
mod support;

mod clients_keys;
mod damage;
mod disk_full;
mod forgotten_keys;
mod kill;
mod log_order;
mod opening;
mod power_cut;
mod rebuilding;
mod reopening;
mod secrecy;
mod sliced_deltas;
mod slots;
mod view_changes;
mod view_equality;
mod view_orders;
mod view_registry;
mod view_things;
