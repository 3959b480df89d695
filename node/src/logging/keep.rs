//! Rotated files: compressed soon, and removed when there are too many or they are too old.
//!
//! `worker.2026-11-21T13-30-15Z-00.log` was rotated at that moment; `.gz` is added once it is
//! compressed. On a thread of its own, so that lines don't wait for it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::FilesConfig;
use super::files::FILE_MODE;

/// Files of one name that are rotated within one second.
const MAX_A_SECOND: usize = 100;
/// What a file that is being compressed ends with.
const PART: &str = ".part";

/// Asks for rotated files to be looked after.
#[derive(Debug)]
pub(super) struct Keeper(SyncSender<()>);

impl Keeper {
    /// Looks at once, since the process before may have left work; the thread ends with this.
    pub(super) fn start(config: FilesConfig, names: [String; 2]) -> io::Result<Self> {
        // One request waits at most: it covers all that is there when it is seen.
        let (ask, asked) = sync_channel(1);
        let keeper = Self(ask);
        keeper.look();
        let run = move || run(&config, &names, &asked);
        thread::Builder::new().name("log-keeper".into()).spawn(run)?;
        Ok(keeper)
    }

    /// Asks, unless somebody asks already.
    pub(super) fn look(&self) {
        let _ = self.0.try_send(());
    }
}

fn run(config: &FilesConfig, names: &[String], asked: &Receiver<()>) {
    while asked.recv().is_ok() {
        for name in names {
            if let Err(error) = tidy(config, name, SystemTime::now()) {
                tracing::warn!(%error, file = name, "rotated log files can't be looked after");
            }
        }
    }
}

/// Where a file goes that is rotated now.
pub(super) fn rotated_path(dir: &Path, name: &str, now: SystemTime) -> io::Result<PathBuf> {
    let moment = humantime::format_rfc3339_seconds(now).to_string().replace(':', "-");
    let path = |number| dir.join(format!("{name}.{moment}-{number:02}.log"));
    let taken = |path: &PathBuf| path.exists() || with_end(path, ".gz").exists();
    let full = || io::Error::other("too many log files were rotated within one second");
    (0..MAX_A_SECOND).map(path).find(|path| !taken(path)).ok_or_else(full)
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// When a file of this name was rotated; `None` for every other file.
fn rotated_at(name: &str, file: &str) -> Option<SystemTime> {
    let rest = file.strip_prefix(name)?.strip_prefix('.')?;
    let rest = rest.strip_suffix(".gz").unwrap_or(rest).strip_suffix(".log")?;
    let (moment, _) = rest.rsplit_once('-')?;
    let (date, time) = moment.split_once('T')?;
    humantime::parse_rfc3339(&format!("{date}T{}", time.replace('-', ":"))).ok()
}

/// Compresses what is not, and removes what is too much.
fn tidy(config: &FilesConfig, name: &str, now: SystemTime) -> io::Result<()> {
    let mut rotated = Vec::new();
    for entry in fs::read_dir(&config.dir)? {
        let file = entry?.file_name();
        let Some(file) = file.to_str() else { continue };
        let path = config.dir.join(file);
        if let Some(part) = file.strip_suffix(PART) {
            if rotated_at(name, part).is_some() {
                // Of a process that ended while it compressed; the whole file is still there.
                fs::remove_file(path)?;
            }
        } else if let Some(at) = rotated_at(name, file) {
            rotated.push((at, path));
        }
    }
    // The youngest first; within a second by number.
    rotated.sort_by(|one, other| other.cmp(one));
    let too_old = |at: &SystemTime| now.duration_since(*at).unwrap_or_default() > config.keep_for;
    for (place, (at, path)) in rotated.iter().enumerate() {
        if place >= config.keep_files || too_old(at) {
            fs::remove_file(path)?;
        } else if path.extension().is_none_or(|end| end != "gz") {
            compress(path)?;
        }
    }
    Ok(())
}

/// Puts the compressed file in the place of the plain one, or leaves that as it is.
fn compress(path: &Path) -> io::Result<()> {
    let whole = with_end(path, ".gz");
    let part = with_end(&whole, PART);
    let done = (|| {
        let mut to = OpenOptions::new();
        let to = to.create(true).truncate(true).write(true).mode(FILE_MODE).open(&part)?;
        let mut encoder = GzEncoder::new(to, Compression::default());
        io::copy(&mut File::open(path)?, &mut encoder)?;
        encoder.finish()?.sync_all()?;
        fs::rename(&part, &whole)?;
        fs::remove_file(path)
    })();
    if done.is_err() {
        // A full disk needs the room.
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, UNIX_EPOCH};

    use flate2::read::GzDecoder;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn rotated_files_are_compressed_and_kept_by_number_and_age() {
        let dir = tempfile::tempdir().unwrap();
        let config = FilesConfig {
            dir: dir.path().to_owned(),
            max_bytes: 1,
            keep_files: 2,
            keep_for: 10 * DAY,
        };
        let now = UNIX_EPOCH + 20_000 * DAY;
        let rotate = |name: &str, days: u32| {
            let path = rotated_path(dir.path(), name, now - days * DAY).unwrap();
            fs::write(path, format!("{name} {days}")).unwrap();
        };
        [0, 0, 0, 5].iter().for_each(|days| rotate("worker", *days));
        // The others' are theirs to look after.
        rotate("worker-2", 50);
        rotate("worker-error", 5);
        fs::write(dir.path().join("worker.log"), "now").unwrap();
        fs::write(dir.path().join("worker.2024-10-04T00-00-00Z-07.log.gz.part"), "half").unwrap();
        tidy(&config, "worker", now).unwrap();
        let left = [
            "worker-2.2024-08-15T00-00-00Z-00.log",
            "worker-error.2024-09-29T00-00-00Z-00.log",
            "worker.2024-10-04T00-00-00Z-01.log.gz",
            "worker.2024-10-04T00-00-00Z-02.log.gz",
            "worker.log",
        ];
        assert_eq!(names(dir.path()), left);
        let mut text = String::new();
        let file = File::open(dir.path().join(left[3])).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text, "worker 0");

        tidy(&config, "worker", now + 11 * DAY).unwrap();
        assert_eq!(names(dir.path()), [left[0], left[1], left[4]], "all are too old");
    }
}
