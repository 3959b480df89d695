//! A node's store: one sled database, one thread that writes it, one that keeps the high-water
//! marks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bookmesh_rpc::api::Hash;

use crate::engine::{self, Engine, Fault};
use crate::error::{Mark, OpenError, StoreError};
use crate::group::{Group, WeakGroup};
use crate::key::{Cipher, StoreKey};
use crate::lost::{Lost, MustJoin, Step};
use crate::marks::Marks;
use crate::names::{GroupName, TreeKind};
use crate::queue::{Done, Job, Queue, Sync, Work};
use crate::set_aside::{self, SetAside};
use crate::space::Space;
use crate::trees::Trees;
use crate::{files, format, rehearsal, writer};

/// What sled keeps of its pages in memory.
pub const DEFAULT_CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// Free bytes below which a store says that it is full. Entries are refused below a quarter of
/// it, 16 MiB: some segments of sled's, and what else the node writes while somebody makes room.
pub const DEFAULT_MIN_FREE_BYTES: u64 = 64 * 1024 * 1024;

/// Where a store is, and how it is used.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Its directory, made when it is not there.
    pub dir: PathBuf,
    /// What its values are encrypted with.
    pub key: StoreKey,
    /// See [`DEFAULT_CACHE_BYTES`].
    pub cache_bytes: u64,
    /// The watermark: see [`DEFAULT_MIN_FREE_BYTES`] and [`Store::room`].
    pub min_free_bytes: u64,
}

impl StoreConfig {
    /// The defaults.
    pub fn new(dir: impl Into<PathBuf>, key: StoreKey) -> Self {
        let (cache_bytes, min_free_bytes) = (DEFAULT_CACHE_BYTES, DEFAULT_MIN_FREE_BYTES);
        Self { dir: dir.into(), key, cache_bytes, min_free_bytes }
    }
}

/// How a store is, for health pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It takes entries.
    Healthy,
    /// Nothing new should be given to it until there is room: the reason. See [`Store::room`].
    Full(String),
    /// It takes nothing until it is opened anew: the reason. Drop all its handles, those of its
    /// groups too, and open it again when the disk is well; the process may go on meanwhile.
    Failed(String),
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Core>);

/// What groups share.
pub(crate) struct Core {
    pub(crate) engine: Arc<Engine>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) space: Space,
    pub(crate) dir: PathBuf,
    lost: Lost,
    pub(crate) cipher: Arc<Cipher>,
    groups: Mutex<BTreeMap<GroupName, WeakGroup>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    rehearsing: Mutex<()>,
    /// Held as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens or makes a store. Groups are verified as each is opened; those whose
    /// [`Store::rebuild`] was interrupted are wiped now. Waits up to 5 seconds for an earlier
    /// store of this process to let its files go. Blocks.
    ///
    /// # Errors
    /// Every [`OpenError`]; nothing on disk is changed then.
    pub fn open(config: StoreConfig) -> Result<Self, OpenError> {
        set_aside::finish(&config.dir)?;
        files::make_dir(&config.dir).map_err(|error| OpenError::io(&config.dir, &error))?;
        let lock = lock(&config.dir)?;
        let dir = config.dir.clone();
        let store = Self::open_locked(config, lock)?;
        store.wipe_interrupted(&dir)?;
        Ok(store)
    }

    /// As [`Store::open`]. A store that is damaged as a whole ([`OpenError::Corrupt`]) is moved
    /// beside its place, to `<dir>.damaged-<n>`, and an empty one is made there that knows what
    /// it has to join: see [`Store::must_join`]. Nothing is ever deleted, and no other error
    /// moves anything. Crash-safe: whatever was interrupted is finished by the next opening.
    ///
    /// # Errors
    /// Every [`OpenError`]; [`OpenError::Corrupt`] only when a hundred damaged stores are there
    /// already.
    pub fn open_or_set_aside(config: StoreConfig) -> Result<(Self, Option<SetAside>), OpenError> {
        let why = match Self::open(config.clone()) {
            Err(OpenError::Corrupt { why, .. }) => why,
            opened => return Ok((opened?, None)),
        };
        let moved = {
            let _lock = lock(&config.dir)?;
            set_aside::set_aside(&config.dir, why)?
        };
        let path = moved.path.display();
        tracing::error!(%path, why = %moved.why, "a damaged store was set aside");
        Ok((Self::open(config)?, Some(moved)))
    }

    fn open_locked(config: StoreConfig, lock: File) -> Result<Self, OpenError> {
        let StoreConfig { dir, key, cache_bytes, min_free_bytes } = config;
        let finished = format::check(&dir, &key)?;
        let marks = Arc::new(Marks::load(&dir, finished)?);
        let lost = Lost::load(&dir)?;
        if !finished {
            clear_unfinished(&dir, &marks)?;
        }
        rehearsal::remove(&dir).map_err(|error| OpenError::io(&dir, &error))?;
        let engine = Arc::new(Engine::open(&dir, cache_bytes)?);
        if !finished {
            marks.save()?;
            format::write(&dir, &key)?;
        }
        let core = Core {
            engine,
            queue: Arc::default(),
            marks,
            space: Space::new(&dir, min_free_bytes),
            dir: dir.clone(),
            lost,
            cipher: Arc::new(Cipher::new(&key)),
            groups: Mutex::default(),
            threads: Mutex::default(),
            rehearsing: Mutex::default(),
            _lock: lock,
        };
        core.start().map_err(|error| OpenError::io(&dir, &error))?;
        Ok(Self(Arc::new(core)))
    }

    /// The groups that are on disk, or should be.
    pub fn groups(&self) -> Vec<GroupName> {
        let trees = self.0.engine.trees();
        let on_disk = trees.iter().filter_map(|tree| TreeKind::Meta.group(tree));
        let all: BTreeSet<_> = on_disk.chain(self.0.marks.groups()).collect();
        all.into_iter().collect()
    }

    /// Opens or makes a group. Its whole log is read and verified, about 100 MB a second; the
    /// same group again is the same handle. Blocks: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::BelowHighWater`], [`StoreError::Corrupt`] or [`StoreError::CorruptValue`]
    /// when the data are not what was acknowledged: then [`Store::rebuild`] it and fill it again.
    pub fn group(&self, name: &GroupName) -> Result<Group, StoreError> {
        let mut groups = self.0.groups();
        if let Some(group) = groups.get(name).and_then(WeakGroup::upgrade) {
            return Ok(group);
        }
        // What handles that are gone have queued is part of what is read now.
        self.0.run_now(Sync::Lazy, Box::new(|_| Ok(())))?;
        let trees = self.0.open_trees(name)?;
        let group = Group::open(name.clone(), self.0.clone(), trees)?;
        groups.insert(name.clone(), group.downgrade());
        Ok(group)
    }

    /// Removes all of a group, however damaged it is. Handles that are held answer
    /// [`StoreError::Wiped`] from then on. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Failed`] or [`StoreError::Closed`].
    pub fn wipe(&self, name: &GroupName) -> Result<(), StoreError> {
        let mut groups = self.0.groups();
        if let Some(group) = groups.remove(name).as_ref().and_then(WeakGroup::upgrade) {
            group.set_wiped();
        }
        let (marks, group) = (self.0.marks.clone(), name.clone());
        let work = move |engine: &Engine| {
            marks.set_now(&group, None).map_err(|error| Fault(error.to_string()))?;
            drop_trees(engine, &group)
        };
        self.0.run_now(Sync::Fence, Box::new(work))
    }

    /// As [`Store::wipe`], of data that were damaged: the group has to be joined from then on,
    /// until [`Store::joined`]. A crash at any moment leaves it as it was, or wiped and to be
    /// joined after the next opening. Blocks.
    ///
    /// # Errors
    /// As [`Store::wipe`]. One that is damaged at its root can't be wiped: the store has failed
    /// then, and [`Store::open_or_set_aside`] sets it aside.
    pub fn rebuild(&self, name: &GroupName) -> Result<(), StoreError> {
        self.0.note(name, Step::Wipe)?;
        self.wipe(name)?;
        self.0.note(name, Step::Join)
    }

    /// The groups whose data were lost here: they are to be joined, and never founded, until
    /// they are filled again. What a log holds that is being filled is not whole yet either.
    pub fn must_join(&self) -> MustJoin {
        self.0.lost.get()
    }

    /// Says that a group is filled again: [`Store::must_join`] names it no more. For one that
    /// was never lost it does nothing. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when it can't be written; the group is to be joined still.
    pub fn joined(&self, name: &GroupName) -> Result<(), StoreError> {
        self.0.note(name, Step::Filled)
    }

    /// Ends the wipes that a crash has interrupted.
    fn wipe_interrupted(&self, dir: &Path) -> Result<(), OpenError> {
        for name in self.0.lost.to_wipe() {
            let Err(error) = self.rebuild(&name) else { continue };
            // What can't be wiped on a disk that takes writes is damaged.
            return Err(match self.0.engine.commit() {
                Ok(()) => OpenError::Corrupt { dir: dir.to_owned(), why: error.to_string() },
                Err(Fault(why)) => OpenError::Io { path: dir.to_owned(), why },
            });
        }
        Ok(())
    }

    /// Whether anything new should be taken: an error from [`StoreConfig::min_free_bytes`] on,
    /// until there is an eighth more again. [`Group::append`] takes what comes nevertheless down
    /// to a quarter of it: entries of others that this member has to keep, and those that a group
    /// needs to go on. Cheap, for every command: the file system is asked ten times a second at
    /// most, and again after each MiB appended.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or [`StoreError::Read`] when that can't be told.
    pub fn room(&self) -> Result<(), StoreError> {
        self.0.space.room()
    }

    /// Whether it takes entries.
    pub fn health(&self) -> Health {
        if let Some(why) = self.0.queue.failure() {
            return Health::Failed(why);
        }
        match self.0.space.room() {
            Ok(()) => Health::Healthy,
            Err(error) => Health::Full(error.to_string()),
        }
    }

    /// Writes all that waits, and the high-water marks; later calls answer [`StoreError::Closed`].
    /// The directory is free for another process when the last handle is gone. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Failed`] when what was written may not be durable.
    pub fn close(self) -> Result<(), StoreError> {
        self.0.stop()
    }
}

impl Core {
    fn start(&self) -> std::io::Result<()> {
        let (engine, queue) = (self.engine.clone(), self.queue.clone());
        let writer = std::thread::Builder::new().name("storage-writer".into());
        let writer = writer.spawn(move || writer::run(&engine, &queue))?;
        self.threads().push(writer);
        let marks = self.marks.clone();
        let keeper = std::thread::Builder::new().name("storage-marks".into());
        let keeper = keeper.spawn(move || marks.run())?;
        self.threads().push(keeper);
        Ok(())
    }

    /// The trees of a group that is there and was not lost, or new ones.
    fn open_trees(&self, name: &GroupName) -> Result<Trees, StoreError> {
        let trees = self.engine.trees();
        let listed = trees.iter().any(|tree| TreeKind::Meta.group(tree).as_ref() == Some(name));
        let read = |Fault(why)| StoreError::Read { why };
        if listed {
            let trees = Trees::open(&self.engine, &self.cipher, name).map_err(read)?;
            if trees.is_made(name)? {
                return Ok(trees);
            }
        }
        if let Some(mark) = self.marks.get(name) {
            let expected = mark.index.unwrap_or(0);
            return Err(StoreError::BelowHighWater { group: name.clone(), found: None, expected });
        }
        self.make_trees(name)?;
        Trees::open(&self.engine, &self.cipher, name).map_err(read)
    }

    fn make_trees(&self, name: &GroupName) -> Result<(), StoreError> {
        let (cipher, group) = (self.cipher.clone(), name.clone());
        let work = move |engine: &Engine| {
            // What a wipe that was interrupted has left.
            drop_trees(engine, &group)?;
            Trees::open(engine, &cipher, &group)?.set_made()
        };
        self.run_now(Sync::Fence, Box::new(work))?;
        let empty = Mark { index: None, hash: Hash::ZERO };
        let marked = self.marks.set_now(name, Some(empty));
        marked.map_err(|error| StoreError::Failed { why: error.to_string() })
    }

    fn note(&self, name: &GroupName, step: Step) -> Result<(), StoreError> {
        let noted = self.lost.set(name, step);
        noted.map_err(|error| StoreError::Failed { why: error.to_string() })
    }

    /// Does some work on the writer's thread, behind all that waits, and waits until it is done.
    pub(crate) fn run_now(&self, sync: Sync, work: Work) -> Result<(), StoreError> {
        blocking(|done| {
            let permit = self.queue.reserve(0)?;
            self.queue.push(permit, Job { work, bytes: 0, sync, done })
        })
    }

    fn stop(&self) -> Result<(), StoreError> {
        self.queue.close();
        self.marks.close();
        let threads = std::mem::take(&mut *self.threads());
        let running = !threads.is_empty();
        for thread in threads {
            // The last handle may go away in a callback, which runs on the writer's thread.
            if thread.thread().id() != std::thread::current().id() {
                let _ = thread.join();
            }
        }
        if let Some(why) = self.queue.failure() {
            return Err(StoreError::Failed { why });
        }
        if running && let Err(error) = self.marks.save() {
            return Err(StoreError::Failed { why: error.to_string() });
        }
        Ok(())
    }

    fn groups(&self) -> MutexGuard<'_, BTreeMap<GroupName, WeakGroup>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rehearsing(&self) -> MutexGuard<'_, ()> {
        self.rehearsing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

/// Calls something that tells a [`Done`], and waits until it is told.
pub(crate) fn blocking(
    call: impl FnOnce(Done) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    call(Box::new(move |result| {
        let _ = tell.send(result);
    }))?;
    told.recv().unwrap_or(Err(StoreError::Closed))
}

fn drop_trees(engine: &Engine, group: &GroupName) -> Result<(), Fault> {
    TreeKind::ALL.iter().try_for_each(|kind| engine.drop_tree(&kind.tree(group)))
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("LOCK");
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| OpenError::io(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(OpenError::io(&path, &error)),
    }
}

/// A store whose making was interrupted has no data; one that lost its `FORMAT` file has.
fn clear_unfinished(dir: &Path, marks: &Marks) -> Result<(), OpenError> {
    if !marks.groups().is_empty() {
        let why = "its FORMAT file is missing".into();
        return Err(OpenError::Corrupt { dir: dir.to_owned(), why });
    }
    let database = dir.join(engine::DIR);
    match fs::remove_dir_all(&database) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::io(database, &error))
        }
        _ => Ok(()),
    }
}
