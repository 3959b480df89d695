//! A node's durable state: the append-only logs of its groups, and the views made of them.
//!
//! Everything here is synchronous, and knows nothing of consensus: a log keeps opaque entries in
//! one order, and says when they can't be lost any more.
//!
//! | file | idea |
//! |---|---|
//! | `slots` | whose data a node takes up |
//! | `store` | one database for a node, its threads, opening and closing |
//! | `format`, `key` | who may read it |
//! | `group` | one log and the small values beside it: appending, cutting, putting |
//! | `reading`, `tail` | reading it, from memory or from the disk |
//! | `record`, `scan` | an entry as it lies on disk, and the verification of a log |
//! | `queue`, `writer` | everything that waits, committed once |
//! | `engine` | sled, and the `fdatasync` that it lacks |
//! | `marks` | how far each log had come, for when sled forgets |
//! | `scrub` | a slow check of a log that is in use |
//! | `rehearsal` | what the next start would find, behind what is in memory |
//! | `set_aside`, `lost` | a store that can't be opened makes place; what it had must be joined |
//! | `checkpoint` | views on disk |
//! | [`view`] | what a log adds up to, in memory |
//! | `sealed`, `trees`, `names` | encrypted trees, and their names |
//! | `files`, `space` | small files, free bytes |

mod checkpoint;
mod engine;
mod error;
mod files;
mod format;
mod group;
mod key;
mod lost;
mod marks;
mod names;
mod queue;
mod reading;
mod record;
mod rehearsal;
mod scan;
mod scrub;
mod sealed;
mod set_aside;
mod slots;
mod space;
mod store;
mod tail;
mod trees;
pub mod view;
mod writer;

pub use checkpoint::{Checkpoint, Checkpointer};
pub use error::{OpenError, StoreError};
pub use format::FORMAT_VERSION;
pub use group::{Group, MAX_VALUE_BYTES};
pub use key::{KEY_BYTES, StoreKey};
pub use lost::MustJoin;
pub use names::{GroupName, NameError};
pub use queue::Done;
pub use record::{MAX_HEAD_BYTES, Record};
pub use rehearsal::{MAX_REHEARSED_BYTES, Rehearsal};
pub use scrub::{Progress, Scrub};
pub use set_aside::SetAside;
pub use slots::{MAX_SLOTS, Slot, SlotError, Standing};
pub use space::FileSystem;
pub use store::{DEFAULT_CACHE_BYTES, DEFAULT_MIN_FREE_BYTES, Health, Store, StoreConfig};
pub use trees::MetaKey;
