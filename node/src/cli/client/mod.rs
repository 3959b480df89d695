//! Everything that is not a role: clients of a gateway, and what is local to this machine.
//!
//! | file | idea |
//! |---|---|
//! | `http` | requests and what their answers mean |
//! | `failure` | why a command ends without success, and its exit code |
//! | `terminal` | colours, tables and numbers for people |
//! | `book`, `status`, `health` | one command each |
//! | `retire`, `recover`, `mesh_settings` | what operators do |
//! | `consent` | asks before what can't be undone |
//! | `catalogue` | a book as a row of CSV, both ways |
//! | `import`, `export` | many books in and out |
//! | `tail`, `verify`, `record` | the append-only log |
//! | `keys`, `certificate`, `config`, `completions` | without a server |

mod book;
mod catalogue;
mod certificate;
mod completions;
mod config;
mod consent;
mod export;
mod failure;
mod health;
mod http;
mod import;
mod keys;
mod mesh_settings;
mod record;
mod recover;
mod retire;
mod status;
mod tail;
mod terminal;
mod verify;
mod views;

use std::io::Write;
use std::process::ExitCode;

use failure::Failure;

use super::{ClientCommand, LogCommand, RackChange};

/// Runs a command to its end; what went wrong is on standard error in one line.
pub async fn run(command: ClientCommand) -> ExitCode {
    match dispatch(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(line) = failure.line() {
                // Nobody is left to tell when even this can't be printed.
                let _ = writeln!(std::io::stderr(), "{} {line}", terminal::error_label());
            }
            failure.exit_code()
        }
    }
}

async fn dispatch(command: ClientCommand) -> Result<(), Failure> {
    match command {
        ClientCommand::Status(args) => status::run(&args).await,
        ClientCommand::Book(command) => book::run(command).await,
        ClientCommand::Rack(RackChange::Retire(args)) => retire::run(&args).await,
        ClientCommand::Rack(RackChange::Recover(args)) => recover::run(&args).await,
        ClientCommand::Settings(args) => mesh_settings::run(&args).await,
        ClientCommand::Import(args) => import::run(args).await,
        ClientCommand::Export(args) => export::run(&args).await,
        ClientCommand::Log(LogCommand::Tail { rack, from, json, server }) => {
            tail::run(&rack, from, json, &server).await
        }
        ClientCommand::Log(LogCommand::Verify { rack, json, server }) => {
            verify::run(&rack, json, &server).await
        }
        ClientCommand::Keys(command) => keys::run(&command),
        ClientCommand::Config(command) => config::run(&command),
        ClientCommand::Health(args) => health::run(&args.url).await,
        ClientCommand::Completions { shell } => completions::run(shell),
    }
}
