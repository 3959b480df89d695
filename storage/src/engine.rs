//! sled, and nothing else names it. Its panics on damaged files become faults, and a commit is
//! what a power cut can't take back.

use std::fs::{File, TryLockError};
use std::io;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::OpenError;
use crate::files;

/// Values that share a page are written as a file of their own, which nobody syncs, once they
/// pass a quarter of this. See [`FRAGMENT_BYTES`].
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// The most bytes of one value, less its seal. A leaf of sled's tree holds up to 17 values, 20
/// after a merge; 20 of these stay under a quarter of a segment whatever happens to the leaf.
pub(crate) const FRAGMENT_BYTES: usize = 48 * 1024;
/// See [`wait_until_free`].
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Where sled's files are within a store.
pub(crate) const DIR: &str = "db";

/// What sled could not do, for people. Damage and failing disks look alike from here.
#[derive(Debug, Clone)]
pub(crate) struct Fault(pub(crate) String);

/// The database.
pub(crate) struct Engine {
    db: sled::Db,
    /// The file that sled writes. Its `flush` ends in `sync_file_range`, which a power cut undoes.
    data: File,
}

/// One tree of the database.
#[derive(Clone)]
pub(crate) struct Tree(sled::Tree);

/// A key and its value.
pub(crate) type Pair = (sled::IVec, sled::IVec);

impl Engine {
    /// Opens or makes the database below `dir`, and makes it durable.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, OpenError> {
        let path = dir.join(DIR);
        wait_until_free(&path)?;
        let config = sled::Config::new()
            .path(&path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None);
        let db = recover(config).map_err(|error| match error {
            NotOpened::Disk(error) => OpenError::io(&path, &error),
            NotOpened::Damaged(why) => OpenError::Corrupt { dir: dir.to_owned(), why },
        })?;
        let fail = |error| OpenError::io(&path, &error);
        let data = File::open(path.join("db")).map_err(fail)?;
        File::open(path.join("conf")).and_then(|conf| conf.sync_all()).map_err(fail)?;
        data.sync_all().map_err(fail)?;
        files::sync_dir(&path).map_err(fail)?;
        files::sync_dir(dir).map_err(fail)?;
        metrics::describe_histogram!(
            "storage_flush_seconds",
            metrics::Unit::Seconds,
            "Time of one sync of the disk."
        );
        Ok(Self { db, data })
    }

    /// The names of all trees.
    pub(crate) fn trees(&self) -> Vec<String> {
        let names = self.db.tree_names();
        names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Opens or makes a tree.
    pub(crate) fn tree(&self, name: &str) -> Result<Tree, Fault> {
        guarded(|| self.db.open_tree(name)).map(Tree)
    }

    /// Removes a tree with all in it. Pages that are damaged, and those behind them, are not
    /// freed: they are of no tree then, and take their space as long as the database is there.
    /// Fails when the damage is on the way from the root to the first leaf.
    pub(crate) fn drop_tree(&self, name: &str) -> Result<(), Fault> {
        let drop_tree = || guarded(|| self.db.drop_tree(name)).map(drop);
        let Err(Fault(why)) = drop_tree() else { return Ok(()) };
        // When the damage is behind the root, the name is free all the same.
        if self.tree(name)?.last_key()?.is_some() {
            return Err(Fault(why));
        }
        tracing::warn!(tree = name, %why, "a damaged tree is gone, but not all of its space free");
        drop_tree()
    }

    /// Makes all writes before it durable.
    pub(crate) fn commit(&self) -> Result<(), Fault> {
        let begun = Instant::now();
        guarded(|| self.db.flush())?;
        self.data.sync_data().map_err(|error| Fault(error.to_string()))?;
        metrics::histogram!("storage_flush_seconds").record(begun.elapsed().as_secs_f64());
        Ok(())
    }
}

impl Tree {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, Fault> {
        guarded(|| self.0.get(key))
    }

    pub(crate) fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Fault> {
        let value = sled::IVec::from(value);
        guarded(|| {
            let inserted = self.0.insert(key, value.clone()).map(drop);
            spare_others(inserted, || Ok(self.0.get(key)?.as_ref() == Some(&value)))
        })
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), Fault> {
        guarded(|| {
            let removed = self.0.remove(key).map(drop);
            spare_others(removed, || Ok(self.0.get(key)?.is_none()))
        })
    }

    pub(crate) fn last_key(&self) -> Result<Option<Vec<u8>>, Fault> {
        Ok(guarded(|| self.0.last())?.map(|(key, _)| key.to_vec()))
    }

    /// The pairs of a range of keys, in order; it ends after the first fault.
    pub(crate) fn scan(&self, keys: RangeInclusive<Vec<u8>>) -> Scan {
        Scan { pairs: self.0.range(keys), failed: false }
    }
}

/// See [`Tree::scan`].
pub(crate) struct Scan {
    pairs: sled::Iter,
    failed: bool,
}

impl Iterator for Scan {
    type Item = Result<Pair, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = guarded(|| self.pairs.next().transpose()).transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

/// A write may move some page of any tree to another place on the way, to free a segment. That
/// fails when that page is damaged, and the write is done nevertheless: damage to one group is no
/// reason to fail the others.
fn spare_others(
    written: sled::Result<()>,
    is_done: impl FnOnce() -> sled::Result<bool>,
) -> sled::Result<()> {
    match written {
        Err(sled::Error::Corruption { at, .. }) if is_done()? => {
            tracing::warn!(?at, "a damaged page could not be moved");
            Ok(())
        }
        written => written,
    }
}

/// Recovery reads whatever is in the files; on a thread of its own, as a panic may leave that
/// thread's state unusable.
fn recover(config: sled::Config) -> Result<sled::Db, NotOpened> {
    let thread = std::thread::Builder::new().name("storage-recovery".into());
    let running = thread.spawn(move || config.open()).map_err(NotOpened::Disk)?;
    match running.join() {
        Ok(opened) => opened.map_err(not_opened),
        Err(panic) => Err(NotOpened::Damaged(panic_text(panic.as_ref()))),
    }
}

/// sled lets its lock go when its last write is done, which may be a little after its last handle
/// is gone, and says of a lock what it says of damage.
fn wait_until_free(path: &Path) -> Result<(), OpenError> {
    let file = path.join("db");
    let found = match File::open(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|error| OpenError::io(&file, &error))?,
    };
    let begun = Instant::now();
    loop {
        match found.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(OpenError::io(&file, &error)),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_WAIT => {
                #[allow(clippy::disallowed_methods, reason = "opening is never done on one")]
                std::thread::park_timeout(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::Locked { dir: path.to_owned() });
            }
        }
    }
}

/// Why sled has no database.
enum NotOpened {
    /// The disk refuses: what is on it may be as good as ever.
    Disk(io::Error),
    /// What is on it is not what sled wrote.
    Damaged(String),
}

fn not_opened(error: sled::Error) -> NotOpened {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    match error {
        // These are how sled says that what it read made no sense.
        sled::Error::Io(error)
            if matches!(error.kind(), InvalidData | InvalidInput | Other | UnexpectedEof) =>
        {
            NotOpened::Damaged(error.to_string())
        }
        sled::Error::Io(error) => NotOpened::Disk(error),
        // What another store's files did to a thread that all share says nothing of this one's.
        sled::Error::ReportableBug(why) if why.contains("IO thread") => {
            NotOpened::Disk(io::Error::other(why))
        }
        other => NotOpened::Damaged(other.to_string()),
    }
}

/// sled panics on some damage. It is not used again for what panicked: the caller reports the
/// group as damaged, or the store as failed.
fn guarded<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Fault> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| Fault(error.to_string())),
        Err(panic) => Err(Fault(panic_text(panic.as_ref()))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("unknown");
    let short: String = text.chars().take(200).collect();
    format!("sled gave up: {short}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngCore;

    fn noise() -> Vec<u8> {
        let mut bytes = vec![0; 40_000];
        rand::rng().fill_bytes(&mut bytes);
        bytes
    }

    /// Overwrites one tree again and again, so that segments are freed and used anew.
    fn churn(engine: &Engine, rounds: u8) {
        let tree = engine.tree("busy").unwrap();
        for round in 0..rounds {
            for key in 0..60_u8 {
                tree.insert(&[key], vec![round; 40_000]).unwrap();
                if key % 20 == 0 {
                    engine.commit().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_page_that_is_damaged_does_not_fail_the_writes_that_would_move_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        let mut values = Vec::new();
        let quiet = engine.tree("quiet").unwrap();
        for key in 0..60 {
            values.push(noise());
            quiet.insert(&[key], values[usize::from(key)].clone()).unwrap();
            churn(&engine, 1);
        }
        engine.commit().unwrap();
        let path = dir.path().join(DIR).join("db");
        let before = std::fs::read(&path).unwrap();
        drop((quiet, engine));
        // sled notes where its pages are when it is opened, and goes by that from then on.
        drop(Engine::open(dir.path(), 1024 * 1024).unwrap());
        let mut bytes = std::fs::read(&path).unwrap();
        // What it reads nevertheless is the segment where it goes on.
        let newest = (0..bytes.len()).find(|at| before.get(*at) != Some(&bytes[*at])).unwrap();
        // The first leaf is spared: a tree with that damaged can't be dropped.
        let places: Vec<_> = values[20..]
            .iter()
            .flat_map(|value| bytes.windows(32).enumerate().filter(|(_, at)| *at == &value[..32]))
            .map(|(at, _)| at + 100)
            .filter(|at| at / SEGMENT_BYTES != newest / SEGMENT_BYTES)
            .collect();
        assert!(places.len() > values.len() / 4, "{}", places.len());
        places.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(&path, bytes).unwrap();

        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        churn(&engine, 60);
        let quiet = engine.tree("quiet").unwrap();
        assert!((0..60).any(|key| quiet.get(&[key]).is_err()));
        engine.drop_tree("quiet").unwrap();
        assert!(!engine.trees().contains(&"quiet".to_owned()));
        churn(&engine, 5);
    }
}
