//! The arguments of what operators do with racks and with the mesh's settings.

use bookmesh_rpc::api::{Kind, MemberId, RackId};
use clap::{Args, Subcommand};

use super::Server;
use super::args::kinds;
use crate::config::Overrides;

/// What is done with racks.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum RackCommand {
    Start(RackStartArgs),
    #[command(flatten)]
    Change(RackChange),
}

/// Start workers of one rack on this machine, and stop them together.
///
/// Each is a process of its own; all of them share the data directory, in which each takes a slot.
/// One that ends by itself is started again. Ctrl-C stops all of them at once.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh rack start book-rack-002 --workers 3 \
                        --bootstrap 127.0.0.1:4001")]
pub struct RackStartArgs {
    /// The rack's name.
    pub rack: RackId,
    /// How many workers.
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=9))]
    pub workers: u8,
    /// What the rack holds.
    #[arg(long = "type", value_name = "TYPE", default_value = "book",
          value_parser = kinds())]
    pub kind: Kind,
    /// What the other flags say.
    #[arg(skip)]
    pub flags: Overrides,
}

/// What is changed about a rack that is there.
#[derive(Subcommand, Clone, Debug)]
pub enum RackChange {
    /// Take a rack out of use for good.
    ///
    /// It takes no more writes, and its name and number are never given again. What its workers
    /// hold stays on their disks.
    #[command(after_help = "Example:\n  bookmesh rack retire book-rack-002")]
    Retire(RetireArgs),
    /// Let one member go on alone when a rack's majority is gone for good.
    ///
    /// Shows what each member has and what may be lost, and asks.
    #[command(after_help = "Example:\n  bookmesh rack recover book-rack-002")]
    Recover(RecoverArgs),
}

/// Arguments of `rack retire`.
#[derive(Args, Clone, Debug)]
pub struct RetireArgs {
    /// The rack's name.
    pub rack: RackId,
    /// Even while it holds things, or can't be asked whether it does.
    #[arg(long)]
    pub force: bool,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
}

/// Arguments of `rack recover`.
#[derive(Args, Clone, Debug)]
pub struct RecoverArgs {
    /// The rack's name.
    pub rack: RackId,
    /// The member that goes on, by its number; the one that knows most unless it is given.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub member: Option<MemberId>,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
}

/// Show or change what holds for the whole mesh.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "Example:\n  bookmesh settings\n  bookmesh settings set rack_replicas=5")]
pub struct SettingsArgs {
    /// What is changed; shown without it.
    #[command(subcommand)]
    pub change: Option<SettingsChange>,
    /// The gateway.
    #[command(flatten)]
    pub server: Server,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// What is changed about the mesh's settings.
#[derive(Subcommand, Clone, Debug)]
pub enum SettingsChange {
    /// Change one or more; `none` leaves it to each node's own configuration again.
    ///
    /// `rack_replicas` is how many voters racks aim for (1, 3, 5 or 7), `replace_after_ms` how long
    /// a voter may be silent before another worker takes its place.
    #[command(after_help = "Example:\n  bookmesh settings set rack_replicas=3 \
                            replace_after_ms=none")]
    Set {
        /// Each as `name=value`.
        #[arg(required = true, value_name = "NAME=VALUE")]
        values: Vec<String>,
        /// The gateway.
        #[command(flatten)]
        server: Server,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}
