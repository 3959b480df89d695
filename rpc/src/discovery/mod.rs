//! Finding the first others: configured addresses, and whether anybody was reached.

mod address;
mod bootstrap;
mod contact;
mod watcher;

pub(crate) use bootstrap::{Bootstrap, Dialed};
pub use contact::Contact;
pub(crate) use watcher::ContactWatcher;
