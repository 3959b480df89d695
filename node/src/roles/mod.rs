//! What a node does in the mesh.
//!
//! | file | idea |
//! |---|---|
//! | [`ork`] | an orchestrator: who was heard of, and the routes it hands out |
//! | [`ork_life`] | its life: the registry found or begun, kept going, left |
//! | `registries`, `ork_identity` | which step is next, and what of them is on disk |
//! | `registrar` | what is asked of the registry |
//! | [`heard`] | the nodes' word, by rack, and the routes that follow from it |
//! | [`worker`] | holds racks: which method goes to which of them |
//! | [`rack`] | one rack on one worker: its state, and what is asked of its log |
//! | [`rack_life`] | a rack's life on a worker: founded or joined, kept going, left |
//! | `founding`, `joining`, `identity` | its steps, and what of them is on disk |
//! | [`things`] | reads and writes of a rack's things |
//! | [`base`], [`nodes`] | what every role stands on; one of each role, started and stopped |
//! | [`client_only`] | what a node answers that only asks |
//! | [`announce`] | tells the orchestrators, every second, how this node stands |
//! | [`standing`] | notes in the slot how much its data matter |
//! | [`health`] | what a worker and an orchestrator say of themselves over HTTP |
//! | [`process`] | one role as one process: from settings to an ordered stop |

pub mod announce;
pub mod base;
pub mod client_only;
mod founding;
pub mod health;
pub mod heard;
mod identity;
mod joining;
pub mod nodes;
pub mod ork;
mod ork_identity;
pub mod ork_life;
pub mod process;
pub mod rack;
pub mod rack_life;
mod registrar;
mod registries;
pub mod standing;
pub mod things;
pub mod worker;
