//! The command line: what can be typed, and the commands that are clients of a running mesh.
//!
//! | file | idea |
//! |---|---|
//! | `args` | the tree of commands, and the arguments of those that are nodes |
//! | `client_args`, `operator_args` | the arguments of the others |
//! | `flags` | the flags that the table of settings gives |
//! | [`client`] | everything that is not a role |

mod args;
pub mod client;
mod client_args;
mod flags;
mod operator_args;

pub use args::{Cli, GatewayArgs, OrkArgs, RoleCommand, UpArgs, WorkerArgs};
pub use client_args::{
    AddArgs, BookCommand, CertArgs, ClientCommand, ConfigCommand, DEFAULT_URL, ExportArgs,
    ExportFormat, HealthArgs, ImportArgs, KeysCommand, ListArgs, LogCommand, OneBook, Server,
    StatusArgs, UpdateArgs,
};
pub use operator_args::{
    RackChange, RackStartArgs, RecoverArgs, RetireArgs, SettingsArgs, SettingsChange,
};
