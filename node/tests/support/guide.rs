//! A new mesh for documents that show requests and answers.

use std::path::PathBuf;

use super::process::{Process, run_ok};
use super::shown::Shown;

/// A mesh of one worker a rack, so that it is the same in every run, and a directory of its own.
pub struct Mesh {
    up: Process,
    dir: tempfile::TempDir,
}

impl Mesh {
    pub fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let args = ["up", "--workers", "1", "--port", "0", "--p2p-port", "0", "--data-dir", "data"];
        let up = Process::start(name, dir.path(), &args, &[]);
        let curl = "include\nsilent\nshow-error\nmax-time = 30\n";
        std::fs::write(dir.path().join(".curlrc"), curl).unwrap();
        let mesh = Self { up, dir };
        run_ok(&mesh.url(), &["health", &mesh.url()]);
        mesh
    }

    pub fn url(&self) -> String {
        self.up.http()
    }

    /// Where curl finds its settings.
    pub fn curl_home(&self) -> PathBuf {
        self.dir.path().to_owned()
    }
}

/// An answer with the headers that tell something, and its JSON laid out.
pub fn text(real: &Shown, came: &str) -> String {
    let line = came.lines().next().unwrap_or_default().trim_end();
    let shown = real.telling();
    let headers = shown.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
    let head = format!("{line}\n{}", headers.collect::<String>());
    let text = format!("{head}\n{}", shown.body);
    text.trim_end().to_owned()
}
