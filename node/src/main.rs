//! `bookmesh`: every role, and the client commands, in one binary.

use std::process::ExitCode;

use bookmesh_node::cli::{Cli, RoleCommand, client};
use bookmesh_node::config::{Environment, Settings};
use bookmesh_node::logging::{self, FilesConfig, LogConfig};
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
    if let Err(error) = logging::init(&log_config(command, &settings)) {
        return fail(WRONG_USAGE, &error.to_string());
    }
    // Before anything counts: what is counted earlier is counted nowhere.
    bookmesh_gateway::metrics::install();
    logging::count_drops();
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
    logging::flush();
    match ended {
        Ok(code) => code,
        Err(StartError::Stopped) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

fn log_config(command: &RoleCommand, settings: &Settings) -> LogConfig {
    let role = match command {
        RoleCommand::RackStart(_) => "rack",
        _ => command.role().name(),
    };
    let redact = matches!(settings.environment, Environment::Staging | Environment::Production);
    LogConfig {
        level: settings.log_level.clone(),
        format: settings.log_format,
        redact,
        role,
        files: settings.log_dir.clone().map(|dir| FilesConfig {
            dir,
            max_bytes: settings.log_file_max_bytes,
            keep_files: settings.log_keep_files,
            keep_for: settings.log_keep_for,
        }),
    }
}

fn fail(code: u8, why: &str) -> ExitCode {
    eprintln!("bookmesh: {why}");
    ExitCode::from(code)
}
