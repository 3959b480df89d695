//! What a node does in the mesh.
//!
//! | file | idea |
//! |---|---|
//! | [`ork`] | an orchestrator: who was heard of, and the routes it hands out |
//! | [`ork_life`] | its life: the registry found or begun, kept going, left |
//! | `ork_service` | what it answers: which request goes where |
//! | `registries`, `ork_identity`, `ork_leave` | which step is next, and what of them is on disk |
//! | `registrar` | what is asked of the registry |
//! | [`heard`] | the nodes' word, by rack, and the routes that follow from it |
//! | [`worker`] | holds racks: which method goes to which of them |
//! | `call_log` | a line for each call that a user's request led to |
//! | [`rack`] | one rack on one worker: its state, and what is asked of its log |
//! | [`rack_life`] | a rack's life on a worker: founded or joined, kept going, left |
//! | `founding`, `joining`, `identity` | its steps, and what of them is on disk |
//! | `setback` | what keeps a rack from its seat |
//! | [`fill`] | a replica that is about to join is filled from another |
//! | [`recover`] | one member goes on alone, by an operator's decision |
//! | [`survey`] | how the members on other nodes stand |
//! | [`things`] | reads and writes of a rack's things |
//! | `changes` | the histories of things, and changes as they come |
//! | `orders` | reads and writes of a rack's orders |
//! | [`books`] | the books, as a worker of orders sees them: a circuit breaker for each rack |
//! | [`base`], [`nodes`] | what every role stands on; one of each role, started and stopped |
//! | [`mesh_key`] | the mesh's key as a file that whoever needs it first makes |
//! | [`client_only`] | what a node answers that only asks |
//! | [`announce`] | tells the orchestrators, every second, how this node stands |
//! | [`disk`] | a worker's store, which is opened again when it has failed |
//! | [`scrub`] | a slow check of what is on it |
//! | [`neighbours`] | keeps a worker connected to those it may have to vote with |
//! | [`standing`] | notes in the slot how much its data matter |
//! | [`health`], [`gauges`] | what a worker and an orchestrator say of themselves over HTTP |
//! | [`process`] | one role as one process: from settings to an ordered stop |

pub mod announce;
pub mod base;
pub mod books;
mod call_log;
mod changes;
pub mod client_only;
pub mod disk;
pub mod fill;
mod founding;
pub mod gauges;
pub mod health;
pub mod heard;
mod identity;
mod joining;
pub mod mesh_key;
pub mod neighbours;
pub mod nodes;
mod orders;
pub mod ork;
mod ork_identity;
mod ork_leave;
pub mod ork_life;
mod ork_service;
pub mod process;
pub mod rack;
pub mod rack_life;
pub mod recover;
mod registrar;
mod registries;
#[cfg(test)]
mod samples;
pub mod scrub;
mod setback;
pub mod standing;
pub mod survey;
pub mod things;
pub mod worker;
