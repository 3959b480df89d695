//! The tree of commands, and the arguments of those that are nodes.

use std::ffi::OsString;
use std::process::ExitCode;

use bookmesh_rpc::api::Kind;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::client_args::{ClientCommand, ConfigCommand};
use super::flags;
use super::operator_args::{RackCommand, RackStartArgs};
use crate::config::{Overrides, Role};

/// What was typed.
#[derive(Clone, Debug)]
pub enum Cli {
    /// Be a node.
    Role(RoleCommand),
    /// Ask one, or do something local.
    Client(ClientCommand),
}

impl Cli {
    /// Understands a command line, the program's name first.
    ///
    /// # Errors
    /// The exit code, after help (0) or what was wrong (2) was printed.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, ExitCode> {
        Self::try_parse(args).map_err(|error| {
            // Nobody is left to tell when even this can't be printed.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS }
        })
    }

    fn try_parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let typed = Typed::from_arg_matches(&matches)?;
        let flags = flags::read(&matches);
        Ok(match typed.command {
            Command::Up(args) => Self::Role(RoleCommand::Up(UpArgs { flags, ..args })),
            Command::Ork(_) => Self::Role(RoleCommand::Ork(OrkArgs { flags })),
            Command::Worker(args) => Self::Role(RoleCommand::Worker(WorkerArgs { flags, ..args })),
            Command::Gateway(_) => Self::Role(RoleCommand::Gateway(GatewayArgs { flags })),
            Command::Rack(RackCommand::Start(args)) => {
                let flags = flags.with("rack_id", args.rack.to_string());
                own_ports(&args, &flags)?;
                Self::Role(RoleCommand::RackStart(RackStartArgs { flags, ..args }))
            }
            Command::Rack(RackCommand::Change(change)) => Self::Client(ClientCommand::Rack(change)),
            Command::Client(ClientCommand::Config(ConfigCommand::Show { role, json, .. })) => {
                let show = ConfigCommand::Show { role, json, flags };
                Self::Client(ClientCommand::Config(show))
            }
            Command::Client(command) => Self::Client(command),
        })
    }

    /// The whole tree, the flags of the settings included.
    pub fn command() -> clap::Command {
        let of = |role| move |command| flags::add(command, role);
        Typed::command()
            .mut_subcommand("up", of(Role::Up))
            .mut_subcommand("ork", of(Role::Ork))
            .mut_subcommand("worker", of(Role::Worker))
            .mut_subcommand("gateway", of(Role::Gateway))
            .mut_subcommand("rack", |rack| rack.mut_subcommand("start", flags::add_to_named_rack))
            .mut_subcommand("config", |config| config.mut_subcommand("show", of(Role::Worker)))
    }
}

/// Several workers can't share a port.
fn own_ports(args: &RackStartArgs, flags: &Overrides) -> Result<(), clap::Error> {
    let given = |key| flags.values.get(key).is_some_and(|port| port != "0");
    if args.workers > 1 && (given("port") || given("p2p_port")) {
        let what = "several workers take free ports: leave --port and --p2p-port out, or start one";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, what));
    }
    Ok(())
}

/// A peer-to-peer mesh of worker nodes that manage books.
#[derive(Parser)]
#[command(name = "bookmesh", version, arg_required_else_help = true)]
#[command(after_help = "Start here:\n  bookmesh up\n  bookmesh import examples/data/books.csv\n  \
                        bookmesh book ls")]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(UpArgs),
    Ork(OrkArgs),
    Worker(WorkerArgs),
    Gateway(GatewayArgs),
    /// Start, retire or recover a rack.
    #[command(subcommand)]
    Rack(RackCommand),
    #[command(flatten)]
    Client(ClientCommand),
}

/// A command that is a node until it is stopped.
#[derive(Clone, Debug)]
pub enum RoleCommand {
    /// The whole mesh.
    Up(UpArgs),
    /// An orchestrator.
    Ork(OrkArgs),
    /// A worker.
    Worker(WorkerArgs),
    /// A gateway.
    Gateway(GatewayArgs),
    /// Several workers of one rack, each a process of its own.
    RackStart(RackStartArgs),
}

impl RoleCommand {
    /// Which role, as the settings know it.
    pub const fn role(&self) -> Role {
        match self {
            Self::Up(_) => Role::Up,
            Self::Ork(_) => Role::Ork,
            Self::Worker(_) | Self::RackStart(_) => Role::Worker,
            Self::Gateway(_) => Role::Gateway,
        }
    }

    /// What the flags say about the settings.
    pub const fn flags(&self) -> &Overrides {
        match self {
            Self::Up(args) => &args.flags,
            Self::Ork(args) => &args.flags,
            Self::Worker(args) => &args.flags,
            Self::Gateway(args) => &args.flags,
            Self::RackStart(args) => &args.flags,
        }
    }
}

/// Run a whole mesh in this process: orchestrator, workers, gateway.
///
/// All of it listens on loopback. Ctrl-C stops it; started again it has everything it had.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh up --workers 3 --port 3000 --data-dir ./books")]
pub struct UpArgs {
    /// Workers of each rack.
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=9))]
    pub workers: u8,
    /// What the other flags say.
    #[arg(skip)]
    pub flags: Overrides,
}

/// Run an orchestrator: it keeps the registry of racks and nodes.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh ork --p2p-port 4001 --mesh-key-file mesh.key")]
pub struct OrkArgs {
    /// What the flags say.
    #[arg(skip)]
    pub flags: Overrides,
}

/// Run a worker: a member of one or more racks.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh worker --type book --rack book-rack-001 \
                        --bootstrap 10.0.0.1:4001 --mesh-key-file mesh.key")]
pub struct WorkerArgs {
    /// What its racks hold.
    #[arg(long = "type", value_name = "TYPE", default_value = "book",
          value_parser = kinds())]
    pub kind: Kind,
    /// Stop when standard input, a pipe, is closed: so that no worker outlives what started it.
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
    /// What the other flags say.
    #[arg(skip)]
    pub flags: Overrides,
}

pub(super) fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new([Kind::Book.name(), Kind::Order.name()])
        .try_map(|name| name.parse::<Kind>())
}

/// Run a gateway: HTTP on one side, the mesh on the other.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  bookmesh gateway --port 3000 --bootstrap 10.0.0.1:4001 \
                        --mesh-key-file mesh.key")]
pub struct GatewayArgs {
    /// What the flags say.
    #[arg(skip)]
    pub flags: Overrides,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} says nothing");
            let leaf = command.get_subcommands().next().is_none();
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !leaf || example.contains(&format!("{} ", path.trim()).trim_end().to_owned()),
                "{path} has no example: {example}"
            );
            command.get_subcommands().for_each(|sub| check(sub, &path));
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn flags_of_the_settings_reach_the_role() {
        let line = "bookmesh worker --type book --rack a --rack b --p2p-port 0 --config x.toml";
        let Cli::Role(role) = parse(line).unwrap() else { panic!("no role") };
        assert_eq!(role.role(), Role::Worker);
        let expected = Overrides { config: Some("x.toml".into()), ..Overrides::default() }
            .with("rack_id", "a,b")
            .with("p2p_port", "0");
        assert_eq!(*role.flags(), expected);
    }

    #[test]
    fn a_rack_is_started_with_the_settings_of_its_workers() {
        let line = "bookmesh rack start a --workers 2 --type order --bootstrap h:1 --data-dir d";
        let Cli::Role(RoleCommand::RackStart(args)) = parse(line).unwrap() else {
            panic!("no rack start")
        };
        assert_eq!((args.workers, args.kind, args.rack.as_str()), (2, Kind::Order, "a"));
        let expected = Overrides::default().with("rack_id", "a").with("bootstrap", "h:1");
        assert_eq!(args.flags, expected.with("data_dir", "d"));
    }

    #[test]
    fn config_show_takes_the_same_flags() {
        let command = parse("bookmesh config show --role ork --port 1").unwrap();
        let Cli::Client(ClientCommand::Config(ConfigCommand::Show { role, flags, .. })) = command
        else {
            panic!("no config show")
        };
        assert_eq!((role, flags), (Role::Ork, Overrides::default().with("port", "1")));
    }

    #[test]
    fn wrong_usage_is_told_from_help() {
        for wrong in [
            "up --workers 0",
            "up --rack a",
            "ork --type book",
            "book get x",
            "nonsense",
            "book update 1",
            "import",
            "completions dos",
            "rack start",
            "rack start NO",
            "rack start a --rack b",
            "rack start a --workers 0",
            "rack start a --workers 2 --port 8081",
            "rack recover a --member 0",
            "settings set",
            "settings --json set rack_replicas=3",
        ] {
            let error = parse(&format!("bookmesh {wrong}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong}");
        }
        assert_eq!(parse("bookmesh up --help").unwrap_err().exit_code(), 0);
    }
}
