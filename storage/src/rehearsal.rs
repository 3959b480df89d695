//! A rehearsal of the next start: what is on disk is copied while nothing is written, and the
//! copy is opened and verified as a start would. It finds damage that sled's pages in memory
//! hide, while this process, and the other members, still have what is lost on the disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::fs::{Advice, fadvise};

use crate::engine::{self, Engine, Fault};
use crate::error::{Mark, OpenError, StoreError};
use crate::group;
use crate::names::GroupName;
use crate::queue::Sync;
use crate::scan;
use crate::store::{Core, DEFAULT_CACHE_BYTES, Store};
use crate::trees::Trees;

/// A database whose files are larger is not copied: the writer would stand still for too long,
/// and most of its log is not in memory, so that [`crate::Scrub`] reads it from the disk.
pub const MAX_REHEARSED_BYTES: u64 = 4 * DEFAULT_CACHE_BYTES;
/// What sled keeps of the copy's pages.
const CACHE_BYTES: u64 = 1024 * 1024;
/// Where the copy is within a store.
const DIR: &str = "rehearsal";

/// What the next start would find. When it is not whole, go on from what a start finds: drop the
/// store, [`Store::open_or_set_aside`], and [`Store::rebuild`] the groups that are refused. To
/// rebuild one of a store that stays open mends that group alone; what sled has written since it
/// was opened may have holes for the others still.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// Why the store would not open at all.
    pub unopenable: Option<String>,
    /// Groups that would be refused, and why.
    pub damaged: BTreeMap<GroupName, StoreError>,
}

impl Rehearsal {
    /// Whether all would be there.
    pub fn is_whole(&self) -> bool {
        self.unopenable.is_none() && self.damaged.is_empty()
    }
}

/// How far each log had come when the files were copied.
type Marks = BTreeMap<GroupName, Mark>;

impl Store {
    /// Copies the database and opens the copy, as the next start would open what is on disk.
    /// `None` when it is larger than [`MAX_REHEARSED_BYTES`]. Writers wait while it is copied, a
    /// tenth of a second or so; one at a time. Blocks, for as long as opening the store takes.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] when there is no room for a copy, [`StoreError::Read`] when it
    /// can't be made, [`StoreError::Failed`], [`StoreError::Closed`].
    pub fn rehearse(&self) -> Result<Option<Rehearsal>, StoreError> {
        let _one = self.0.rehearsing();
        let (database, copy) = (self.0.dir.join(engine::DIR), self.0.dir.join(DIR));
        let bytes = read_through(&database).map_err(|error| unread(&error))?;
        if bytes > MAX_REHEARSED_BYTES {
            return Ok(None);
        }
        self.0.space.room_for(bytes)?;
        remove(&self.0.dir).map_err(|error| unread(&error))?;
        let rehearsal = self.copy(database, &copy).map(|marks| rehearse(&self.0, &copy, &marks));
        remove(&self.0.dir).map_err(|error| unread(&error))?;
        rehearsal?.map(Some)
    }

    fn copy(&self, database: PathBuf, copy: &Path) -> Result<Marks, StoreError> {
        let (tell, told): (SyncSender<io::Result<Marks>>, _) = sync_channel(1);
        let (marks, target) = (self.0.marks.clone(), copy.join(engine::DIR));
        let work = move |engine: &Engine| {
            engine.commit()?;
            // That it could not be copied is no fault of the store's.
            let copied = copy_dir(&database, &target).map(|()| marks.all());
            let _ = tell.send(copied);
            Ok(())
        };
        self.0.run_now(Sync::Fence, Box::new(work))?;
        let copied = told.recv().map_err(|_| StoreError::Closed)?;
        copied.map_err(|error| unread(&error))
    }
}

fn rehearse(core: &Core, copy: &Path, marks: &Marks) -> Result<Rehearsal, StoreError> {
    let mut rehearsal = Rehearsal::default();
    let engine = match Engine::open(copy, CACHE_BYTES) {
        Ok(engine) => engine,
        Err(OpenError::Corrupt { why, .. }) => {
            rehearsal.unopenable = Some(why);
            return Ok(rehearsal);
        }
        Err(error) => return Err(StoreError::Read { why: error.to_string() }),
    };
    for (name, mark) in marks {
        if let Err(error) = verify(core, &engine, name, *mark) {
            rehearsal.damaged.insert(name.clone(), error);
        }
    }
    Ok(rehearsal)
}

/// As [`Store::group`] would.
fn verify(core: &Core, engine: &Engine, name: &GroupName, mark: Mark) -> Result<(), StoreError> {
    let trees = Trees::open(engine, &core.cipher, name);
    let trees = trees.map_err(|Fault(why)| StoreError::Read { why })?;
    if !trees.is_made(name)? {
        let expected = mark.index.unwrap_or(0);
        return Err(StoreError::BelowHighWater { group: name.clone(), found: None, expected });
    }
    scan::verify(name, &trees.log, Some(mark))?;
    group::load_values(name, &trees).map(drop)
}

/// Reads all of the database from the disk, so that copying it has not to wait for that; answers
/// how much it is.
fn read_through(database: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(database)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let Some(mut file) = found(File::open(entry.path()))? else { continue };
        bytes += file.metadata()?.len();
        if bytes > MAX_REHEARSED_BYTES {
            break;
        }
        // What the kernel keeps may be better than what is on the disk. It need not listen.
        let _ = fadvise(&file, 0, None, Advice::DontNeed);
        io::copy(&mut file, &mut io::sink())?;
    }
    Ok(bytes)
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found(fs::copy(entry.path(), to.join(entry.file_name())))?;
        }
    }
    Ok(())
}

/// Removes a copy, also one that a crash has left.
pub(crate) fn remove(dir: &Path) -> io::Result<()> {
    found(fs::remove_dir_all(dir.join(DIR))).map(drop)
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

fn unread(error: &io::Error) -> StoreError {
    StoreError::Read { why: format!("a rehearsal of the next start: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StoreKey;
    use crate::record::Record;
    use crate::scrub::Scrub;
    use crate::store::StoreConfig;
    use bytes::Bytes;

    fn append(store: &Store, name: &GroupName, entries: u64) {
        let group = store.group(name).unwrap();
        let from = group.last_index().map_or(0, |last| last + 1);
        let record = |index: u64| {
            let commands = index.to_le_bytes().repeat(400).into();
            Record { index, head: Bytes::from_static(b"head"), commands }
        };
        group.append_blocking((from..from + entries).map(record).collect()).unwrap();
    }

    /// In memory where there is one: what is held against a disk is elsewhere.
    fn directory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    fn names() -> [GroupName; 2] {
        ["a", "b"].map(|id| GroupName::rack(&id.parse().unwrap()))
    }

    #[test]
    fn damage_below_pages_in_memory_is_what_the_next_start_finds() {
        let dir = directory();
        let config = StoreConfig::new(dir.path().join("store"), StoreKey::generate());
        let store = Store::open(config.clone()).unwrap();
        let [one, other] = names();
        append(&store, &one, 3000);
        append(&store, &other, 10);
        let group = store.group(&one).unwrap();
        let before = store.rehearse().unwrap().unwrap();
        assert!(before.is_whole(), "{before:?}");

        let path = config.dir.join("db/db");
        let mut bytes = fs::read(&path).unwrap();
        (bytes.len() / 8..bytes.len() * 2 / 3).step_by(1_000).for_each(|at| bytes[at] ^= 1);
        fs::write(&path, &bytes).unwrap();
        let scrubbed = Scrub::new(group.clone()).step(Some(2999), usize::MAX);
        assert_eq!(scrubbed.unwrap().entries, 3000, "all of it is in memory, and right");
        let found = store.rehearse().unwrap().unwrap();
        assert!(!found.is_whole());
        assert!(!config.dir.join(DIR).exists(), "the copy is gone");

        drop(group);
        store.close().unwrap();
        let (store, moved) = Store::open_or_set_aside(config).unwrap();
        assert_eq!(moved.is_some(), found.unopenable.is_some(), "{found:?}");
        for name in names().iter().filter(|_| moved.is_none()) {
            let refused = store.group(name).err();
            assert_eq!(refused.is_some(), found.damaged.contains_key(name), "{found:?}");
        }
    }

    #[test]
    fn writers_go_on_while_it_is_rehearsed() {
        let dir = directory();
        let config = StoreConfig::new(dir.path(), StoreKey::generate());
        let store = Store::open(config).unwrap();
        let [one, other] = names();
        // So that copying takes a while.
        append(&store, &one, 2000);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200).for_each(|_| append(&store, &one, 1)));
            scope.spawn(|| {
                for _ in 0..20 {
                    append(&store, &other, 50);
                    store.group(&other).unwrap().truncate_blocking(10).unwrap();
                    append(&store, &other, 5);
                    store.wipe(&other).unwrap();
                }
            });
            for _ in 0..5 {
                let found = store.rehearse().unwrap().unwrap();
                assert!(found.is_whole(), "{found:?}");
            }
        });
    }
}
