//! Consensus: one openraft group for each rack, and one for the orchestrators' registry.
//!
//! The algorithm is openraft's. What is here implements its storage and its network, decides when
//! to stand for election, and gathers commands and reads so that each flush and each confirmation
//! serves all who wait.
//!
//! | file | idea |
//! |---|---|
//! | [`group`] | one member of one group: everything below, put together |
//! | [`proposer`] | commands that wait become one entry |
//! | [`reader`] | reads that wait share one confirmation |
//! | [`freshness`] | how far a follower is behind |
//! | [`elector`] | when to stand for election |
//! | [`membership`] | who belongs, and what the leader does about it |
//! | [`seats`] | what it should do: the plan alone |
//! | [`handover`] | a leader whose disk is full lets another one lead |
//! | [`leave`] | taking a member out before it stops |
//! | [`log_store`] | openraft's log over `storage` |
//! | [`machine`] | openraft's state machine over a view |
//! | [`changes`] | what changed, read from the log |
//! | [`checkpoint`] | views on disk, so that a start need not apply the whole log |
//! | [`filling`] | a replica that takes no part yet is filled with what is committed |
//! | [`recovery`] | one member goes on alone when the majority is gone for good |
//! | [`network`] | messages between members over the mesh |
//! | [`vitals`] | what a member's metrics are made of |
//! | [`types`] | what openraft is used with |

pub mod changes;
pub mod checkpoint;
pub mod elector;
pub mod filling;
pub mod freshness;
pub mod group;
pub mod handover;
pub mod leave;
pub mod log_store;
pub mod machine;
pub mod membership;
pub mod network;
pub mod proposer;
pub mod reader;
pub mod recovery;
pub mod seats;
pub mod types;
pub mod vitals;

pub use group::{Group, GroupConfig, GroupError};
