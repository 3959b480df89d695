//! A Bookmesh node: consensus, the roles, configuration, the command line.
//!
//! | module | idea |
//! |---|---|
//! | [`consensus`] | one replicated group: a log, a view, and what keeps them going |
//! | [`roles`] | what a node does in the mesh |
//! | [`up`] | a whole mesh in one process |
//! | [`config`] | what a node is told, and by whom |
//! | [`cli`] | the commands |
//! | [`rack_start`] | workers of one rack as processes of their own |
//! | [`logging`], [`signals`] | the process's edges |

pub mod cli;
pub mod config;
pub mod consensus;
pub mod logging;
pub mod rack_start;
pub mod roles;
pub mod signals;
pub mod up;
