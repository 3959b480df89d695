//! Real nodes on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod logs;
mod member;
mod support;
mod values;

mod a_broken_connection;
mod a_call_and_its_reply;
mod a_key_of_another_type;
mod any_bytes_and_any_values;
mod calls_are_bounded_and_cancelled;
mod members_that_misbehave;
mod nodes_find_each_other;
mod strangers_are_refused;
mod the_registry_is_found;
