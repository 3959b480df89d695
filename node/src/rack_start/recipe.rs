//! What each worker is started with: the rack, free ports, and whatever this process was told.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::RackStartArgs;
use crate::config::{Overrides, SETTINGS};

/// Any free port.
const ANY_PORT: &str = "0";

/// How to start one worker; the same for all of a rack.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    program: PathBuf,
    args: Vec<OsString>,
}

impl Recipe {
    /// For the workers of a rack. Files and the environment are theirs to read; only what flags
    /// say is handed on.
    ///
    /// # Errors
    /// When the operating system does not say which program this is.
    pub(super) fn new(args: &RackStartArgs) -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, args: arguments(args) })
    }

    /// The command, not yet started. It gets a process group of its own: a terminal's Ctrl-C is
    /// for this process, which asks the workers itself.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn arguments(args: &RackStartArgs) -> Vec<OsString> {
    let mut flags = args.flags.clone();
    if args.workers > 1 {
        // They can't share a port, whatever the environment says of a worker's.
        flags = flags.with("port", ANY_PORT).with("p2p_port", ANY_PORT);
    }
    let Overrides { config, values } = flags;
    let mut all: Vec<OsString> =
        ["worker", "--stop-with-stdin", "--type", args.kind.name()].map(OsString::from).into();
    if let Some(config) = config {
        all.extend(["--config".into(), config.into()]);
    }
    for setting in SETTINGS {
        if let Some(text) = values.get(setting.key) {
            all.push(format!("--{}={text}", setting.flag).into());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, RoleCommand};

    /// What a worker understands of what it is started with.
    fn understood(line: &str) -> (Overrides, bool) {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let Ok(Cli::Role(RoleCommand::RackStart(args))) = Cli::parse(words(line)) else {
            panic!("{line}")
        };
        let worker = [OsString::from("bookmesh")].into_iter().chain(arguments(&args));
        let Ok(Cli::Role(RoleCommand::Worker(worker))) = Cli::parse(worker) else {
            panic!("{line}")
        };
        assert_eq!(worker.kind, args.kind);
        (worker.flags, worker.stop_with_stdin)
    }

    #[test]
    fn workers_take_free_ports_and_what_this_process_was_told() {
        let line = "bookmesh rack start r --type order --bootstrap a:1,b:2 --config f --data-dir d";
        let (flags, tied) = understood(line);
        assert!(tied, "none outlives what started it");
        let expected = Overrides { config: Some("f".into()), ..Overrides::default() };
        let expected = expected.with("rack_id", "r").with("bootstrap", "a:1,b:2");
        let expected = expected.with("data_dir", "d").with("port", "0").with("p2p_port", "0");
        assert_eq!(flags, expected);
    }

    #[test]
    fn a_worker_alone_may_have_ports_of_its_own() {
        let (flags, _) = understood("bookmesh rack start r --workers 1 --port 9");
        assert_eq!(flags, Overrides::default().with("rack_id", "r").with("port", "9"));
    }
}
