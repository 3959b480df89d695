//! `bookmesh`: every role, and the client commands, in one binary.

use std::process::ExitCode;

use bookmesh_node::cli::{Cli, RoleCommand, client};
use bookmesh_node::config::{LogFormat, Settings};
use bookmesh_node::logging;
use bookmesh_node::rack_start;
use bookmesh_node::roles::base::StartError;
use bookmesh_node::roles::process;
use tokio::runtime::Runtime;

/// What the command line and the configuration exit with when they are wrong.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no threads to run on: {error}")),
    };
    match cli {
        Cli::Client(command) => runtime.block_on(client::run(command)),
        Cli::Role(command) => role(&runtime, &command),
    }
}

fn role(runtime: &Runtime, command: &RoleCommand) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let settings = match Settings::load(command.role(), command.flags(), env) {
        Ok(settings) => settings,
        Err(mistakes) => return fail(WRONG_USAGE, &mistakes.to_string()),
    };
    let format = match settings.log_format {
        LogFormat::Pretty => logging::Format::Pretty,
        LogFormat::Json => logging::Format::Json,
    };
    if let Err(error) = logging::init(&settings.log_level, format) {
        return fail(WRONG_USAGE, &format!("LOG_LEVEL: {error}"));
    }
    // Before anything counts: what is counted earlier is counted nowhere.
    bookmesh_gateway::metrics::install();
    let ended = runtime.block_on(async {
        match command {
            RoleCommand::Up(args) => process::up(&settings, args.workers.into()).await,
            RoleCommand::Ork(_) => process::ork(&settings).await,
            RoleCommand::Worker(args) => {
                process::worker(&settings, args.kind, args.stop_with_stdin).await
            }
            RoleCommand::Gateway(_) => process::gateway(&settings).await,
            RoleCommand::RackStart(args) => return rack_start::run(&settings, args).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    match ended {
        Ok(code) => code,
        Err(StartError::Stopped) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("bookmesh: {why}");
    ExitCode::from(code)
}
