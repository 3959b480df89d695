//! One `bookmesh` process. It is killed when it is dropped.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use super::PATIENCE;

/// The binary under test.
pub const BOOKMESH: &str = env!("CARGO_BIN_EXE_bookmesh");

/// Lines of its log that a test that fails shows of each process.
const TAIL: usize = 120;

pub struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
    /// What it said of itself once it was up: `http`, `p2p`, `peer`.
    pub ready: BTreeMap<String, String>,
}

impl Process {
    /// Starts a role and waits until it is up.
    pub fn start(name: &str, dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Self {
        Self::start_under(&[], name, dir, args, env)
    }

    /// As [`Process::start`], behind a command that runs it (`ip netns exec …`).
    pub fn start_under(
        prefix: &[&str],
        name: &str,
        dir: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let mut process = Self::spawn_under(prefix, name, dir, args, env);
        process.wait_until_ready();
        process
    }

    /// Starts a role and does not wait.
    pub fn spawn_under(
        prefix: &[&str],
        name: &str,
        dir: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let words: Vec<_> =
            prefix.iter().copied().chain([BOOKMESH]).chain(args.iter().copied()).collect();
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(dir)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::options().create(true).append(true).open(&err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out, err, ready: BTreeMap::new() }
    }

    /// Waits for the line `ready key=value …`.
    pub fn wait_until_ready(&mut self) {
        let until = Instant::now() + PATIENCE;
        while !self.is_ready() {
            assert!(Instant::now() < until, "it is not up\n{}", self.log());
            pause();
        }
    }

    /// Whether it has said `ready …` by now. It may not have ended.
    pub fn is_ready(&mut self) -> bool {
        let out = std::fs::read_to_string(&self.out).unwrap();
        if let Some(line) = out.lines().find_map(|line| line.strip_prefix("ready ")) {
            self.ready = line
                .split_whitespace()
                .filter_map(|word| word.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            return true;
        }
        let ended = self.ended();
        assert!(ended.is_none(), "it ended: {ended:?}\n{}", self.log());
        false
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn http(&self) -> String {
        self.ready["http"].clone()
    }

    pub fn p2p(&self) -> String {
        self.ready["p2p"].clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end\n{}", self.log());
            pause();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL)..];
            eprintln!("--- {}\n{}", self.err.display(), tail.join("\n"));
        }
    }
}

/// Runs a command of the client to its end.
pub fn run(url: &str, args: &[&str]) -> Output {
    Command::new(BOOKMESH)
        .args(args)
        .env_clear()
        .env("BOOKMESH_URL", url)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs a command of the client that has to succeed, and returns what it printed.
pub fn run_ok(url: &str, args: &[&str]) -> String {
    let output = run(url, args);
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

#[allow(clippy::disallowed_methods, reason = "a plain thread that polls another process")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(10));
}
