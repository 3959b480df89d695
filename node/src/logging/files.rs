//! The log files of one process: `<name>.log` has every line, `<name>-error.log` the errors once
//! more. Each is rotated when it is full or a new day begins (UTC).
//!
//! The name is the role's (`worker`), and `worker-2` and so on for further processes of it that
//! share the directory: each holds a lock on `<name>.lock`, which the kernel gives back however
//! the process ends, so a process that comes back goes on with a file that is there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::FilesConfig;
use super::keep::{Keeper, rotated_path};
use super::queue::{Line, Sink, count_dropped};

/// Lines are for the owner and their group: they name racks and books.
pub(super) const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;
/// Processes of one role that share a directory.
const MAX_PROCESSES: usize = 100;
/// After a file could not be written, so that a full disk is not asked for every line.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const DAY_S: u64 = 24 * 60 * 60;

/// Everything that one process writes.
#[derive(Debug)]
pub(super) struct LogFiles {
    all: RotatingFile,
    errors: RotatingFile,
    keeper: Keeper,
    /// Says that the names are taken.
    _lock: File,
}

impl LogFiles {
    /// Takes names that no living process has.
    pub(super) fn open(config: &FilesConfig, role: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(&config.dir)?;
        let (name, lock) = take_name(&config.dir, role)?;
        let errors = format!("{name}-error");
        let keeper = Keeper::start(config.clone(), [name.clone(), errors.clone()])?;
        let mut all = RotatingFile::new(config, name);
        all.open(SystemTime::now())?;
        Ok(Self { all, errors: RotatingFile::new(config, errors), keeper, _lock: lock })
    }

    fn append(&mut self, line: &Line, now: SystemTime) {
        let mut rotated = self.all.append(&line.bytes, now);
        if line.is_error {
            rotated |= self.errors.append(&line.bytes, now);
        }
        if rotated {
            self.keeper.look();
        }
    }
}

impl Sink for LogFiles {
    fn write(&mut self, line: &Line) {
        self.append(line, SystemTime::now());
    }
}

fn take_name(dir: &Path, role: &str) -> io::Result<(String, File)> {
    for number in 1..=MAX_PROCESSES {
        let name = if number == 1 { role.to_owned() } else { format!("{role}-{number}") };
        let lock = options().open(dir.join(format!("{name}.lock")))?;
        match lock.try_lock() {
            Ok(()) => return Ok((name, lock)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let what = format!("{MAX_PROCESSES} processes of the role {role} log there already");
    Err(io::Error::other(what))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(FILE_MODE);
    options
}

/// One file that grows. A disk that is full costs lines, which are counted and told when it goes
/// on; never the process.
#[derive(Debug)]
struct RotatingFile {
    dir: PathBuf,
    name: String,
    max_bytes: u64,
    file: Option<File>,
    bytes: u64,
    /// Since 1970, of the first line.
    day: u64,
    /// The last line was cut off in the middle.
    torn: bool,
    lost: u64,
    retry_at: Option<Instant>,
}

impl RotatingFile {
    fn new(config: &FilesConfig, name: String) -> Self {
        Self {
            dir: config.dir.clone(),
            name,
            max_bytes: config.max_bytes,
            file: None,
            bytes: 0,
            day: 0,
            torn: false,
            lost: 0,
            retry_at: None,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    fn open(&mut self, now: SystemTime) -> io::Result<()> {
        let file = options().open(self.path())?;
        let about = file.metadata()?;
        self.bytes = about.len();
        self.day = day(if self.bytes == 0 { now } else { about.modified().unwrap_or(now) });
        self.file = Some(file);
        Ok(())
    }

    /// Appends a line; true when the file was rotated for it.
    fn append(&mut self, line: &[u8], now: SystemTime) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            self.lose();
            return false;
        }
        match self.try_append(line, now) {
            Ok(rotated) => {
                self.retry_at = None;
                let lost = std::mem::take(&mut self.lost);
                if lost > 0 {
                    let file = self.name.as_str();
                    tracing::warn!(
                        lost,
                        file,
                        "a log file can be written again; lines are missing"
                    );
                }
                rotated
            }
            Err(error) => {
                if self.retry_at.replace(Instant::now() + RETRY_AFTER).is_none() {
                    let file = self.name.as_str();
                    tracing::error!(%error, file, "a log file can't be written: lines are lost");
                }
                // Opened again: it may have been removed, or the disk mounted anew.
                self.file = None;
                self.lose();
                false
            }
        }
    }

    fn lose(&mut self) {
        self.lost += 1;
        count_dropped("files", 1);
    }

    fn try_append(&mut self, line: &[u8], now: SystemTime) -> io::Result<bool> {
        if self.file.is_none() {
            self.open(now)?;
        }
        let full = self.bytes + line.len() as u64 > self.max_bytes;
        let rotates = self.bytes > 0 && (full || self.day != day(now));
        if rotates {
            self.rotate(now)?;
        }
        let Some(mut file) = self.file.as_ref() else { return Ok(rotates) };
        if self.torn {
            file.write_all(b"\n")?;
            (self.torn, self.bytes) = (false, self.bytes + 1);
        }
        let mut rest = line;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.bytes += written as u64;
                    self.torn = !rest.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rotates)
    }

    /// Puts the file aside under the moment's name, and begins a new one.
    fn rotate(&mut self, now: SystemTime) -> io::Result<()> {
        self.file = None;
        fs::rename(self.path(), rotated_path(&self.dir, &self.name, now)?)?;
        self.torn = false;
        self.open(now)
    }
}

fn day(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / DAY_S)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn config(dir: &Path) -> FilesConfig {
        let keep_for = Duration::from_secs(30 * DAY_S);
        FilesConfig { dir: dir.to_owned(), max_bytes: 100, keep_files: 3, keep_for }
    }

    fn line(text: &str, is_error: bool) -> Line {
        Line { bytes: format!("{text}\n").into_bytes(), is_error }
    }

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn processes_that_share_a_directory_do_not_share_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("logs");
        let mut first = LogFiles::open(&config(&dir), "worker").unwrap();
        let mut second = LogFiles::open(&config(&dir), "worker").unwrap();
        first.write(&line("one", true));
        second.write(&line("two", false));
        assert_eq!(read(&dir, "worker.log"), "one\n");
        assert_eq!(read(&dir, "worker-error.log"), "one\n");
        assert_eq!(read(&dir, "worker-2.log"), "two\n");
        assert!(!dir.join("worker-2-error.log").exists(), "it had no errors");
        drop(first);
        let mut again = LogFiles::open(&config(&dir), "worker").unwrap();
        again.write(&line("three", false));
        assert_eq!(read(&dir, "worker.log"), "one\nthree\n");
        for name in ["worker.log", "worker-error.log", "worker.lock"] {
            let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777 & !FILE_MODE, 0, "{name}: {mode:o}");
        }
    }

    #[test]
    fn a_file_is_rotated_when_it_is_full_and_every_day() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::new(&config(dir.path()), "worker".into());
        let midday = UNIX_EPOCH + Duration::from_secs(20_000 * DAY_S + DAY_S / 2);
        assert!(!file.append(&[b'x'; 60], midday));
        assert!(file.append(&[b'y'; 60], midday), "no room for both");
        assert!(!file.append(&[b'y'; 10], midday));
        assert!(file.append(b"tomorrow\n", midday + Duration::from_secs(DAY_S)));
        assert_eq!(read(dir.path(), "worker.log"), "tomorrow\n");
        assert_eq!(read(dir.path(), "worker.2024-10-04T12-00-00Z-00.log"), "x".repeat(60));
        assert_eq!(read(dir.path(), "worker.2024-10-05T12-00-00Z-00.log"), "y".repeat(70));
    }

    #[test]
    fn a_file_that_cannot_be_written_costs_lines_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        let mut file = RotatingFile::new(&config(&gone), "worker".into());
        let now = SystemTime::now();
        assert!(!file.append(b"one\n", now));
        assert!(!file.append(b"two\n", now));
        assert_eq!(file.lost, 2);
        fs::create_dir(&gone).unwrap();
        file.retry_at = None;
        file.append(b"three\n", now);
        assert_eq!((file.lost, read(&gone, "worker.log")), (0, "three\n".into()));
    }

    #[test]
    fn a_full_disk_is_survived() {
        // A device that has no room at all.
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut file = RotatingFile::new(&config(dir.path()), "worker".into());
        let now = SystemTime::now();
        file.open(now).unwrap();
        file.file = Some(full);
        file.append(b"one\n", now);
        assert_eq!(file.lost, 1);
        file.retry_at = None;
        file.append(b"two\n", now);
        assert_eq!((file.lost, read(dir.path(), "worker.log")), (0, "two\n".into()));
    }
}
