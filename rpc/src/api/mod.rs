//! What nodes say to each other: ids, things, racks, log records, errors, and the methods that
//! carry them.
//!
//! | file | idea |
//! |---|---|
//! | `ids` | the names of things, racks, members, requests |
//! | `keys` | what makes a write come once, however often it is sent |
//! | `thing` | what a rack stores, and what is asked of it |
//! | `rules` | what a thing may look like, the same on every surface |
//! | `order`, `money` | what an order rack stores |
//! | `change` | what a rack's log changed |
//! | `command` | what a rack's log keeps, and what applying it answers |
//! | `rack` | registration, membership, routes, status |
//! | `log` | a rack's log as it is read by others |
//! | `error` | what a node answers when it can't |
//! | `method` | the table of methods |

mod change;
mod command;
mod error;
mod ids;
mod keys;
mod log;
mod method;
mod money;
mod order;
mod rack;
mod rules;
mod thing;

pub use change::*;
pub use command::*;
pub use error::*;
pub use ids::*;
pub use keys::*;
pub use log::*;
pub use method::*;
pub use money::*;
pub use order::*;
pub use rack::*;
pub use rules::*;
pub use thing::*;
