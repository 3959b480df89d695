//! Slots of a data directory: replicas of one service share a volume, and each takes a slot, with
//! that slot's key and store, as its own.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bookmesh_rpc::NodeKey;
use zeroize::Zeroizing;

use crate::files;

/// Slots of one directory: more nodes than one machine runs.
pub const MAX_SLOTS: usize = 1000;
const NUMBERED: &str = "slot-";
const LOCK: &str = "LOCK";
const STANDING: &str = "standing";
const NODE_KEY: &str = "node.key";
const STORE: &str = "store";
const MAX_FILE_BYTES: u64 = 256;

/// How much a slot's data matter: what its node last knew of its membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// A voter of some group: taken first, so that the group gets its quorum back.
    Voter,
    /// A learner.
    Learner,
    /// It left all its groups.
    Left,
    /// It was a member of none.
    Empty,
}

impl Standing {
    const ALL: [Self; 4] = [Self::Voter, Self::Learner, Self::Left, Self::Empty];

    /// What stands in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Left => "left",
            Self::Empty => "empty",
        }
    }
}

/// Why no slot could be taken.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// Somebody else has it.
    #[error(
        "{path} is in use by another process: stop that one, or use another data directory",
        path = path.display()
    )]
    InUse {
        /// The slot.
        path: PathBuf,
    },
    /// All are taken.
    #[error(
        "all {MAX_SLOTS} slots of {path} are in use: use another data directory",
        path = path.display()
    )]
    NoneFree {
        /// The data directory.
        path: PathBuf,
    },
    /// The name is no plain file name.
    #[error("{0:?} is no name of a slot: letters, digits, - and _, 64 at most")]
    BadName(String),
    /// A file is not what it should be.
    #[error(
        "{path} is damaged: restore it, or move the slot away to start with an empty one",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
}

/// One taken slot; free again when this is dropped.
#[derive(Debug)]
pub struct Slot {
    path: PathBuf,
    standing: Standing,
    /// Its lock goes with it.
    _lock: File,
}

impl Slot {
    /// Takes the free numbered slot that matters most; a new one when none is free.
    ///
    /// # Errors
    /// [`SlotError::NoneFree`], [`SlotError::Io`].
    pub fn take(data_dir: &Path) -> Result<Self, SlotError> {
        files::make_dir(data_dir).map_err(io(data_dir))?;
        let mut known = numbered(data_dir)?;
        known.sort_by_key(|(number, standing)| (*standing, *number));
        for (number, _) in &known {
            if let Some(slot) = Self::try_take(&path(data_dir, *number))? {
                return Ok(slot);
            }
        }
        for number in (0..MAX_SLOTS).filter(|new| known.iter().all(|(number, _)| number != new)) {
            // Another process may make the same one now.
            if let Some(slot) = Self::try_take(&path(data_dir, number))? {
                return Ok(slot);
            }
        }
        Err(SlotError::NoneFree { path: data_dir.to_owned() })
    }

    /// Takes the slot with this name, `gateway` say.
    ///
    /// # Errors
    /// [`SlotError::InUse`], [`SlotError::BadName`], [`SlotError::Io`].
    pub fn take_named(data_dir: &Path, name: &str) -> Result<Self, SlotError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(SlotError::BadName(name.chars().take(64).collect()));
        }
        let path = data_dir.join(name);
        Self::try_take(&path)?.ok_or(SlotError::InUse { path })
    }

    fn try_take(path: &Path) -> Result<Option<Self>, SlotError> {
        files::make_dir(path).map_err(io(path))?;
        let lock_path = path.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => {
                return Err(SlotError::Io { path: lock_path, source });
            }
        }
        let standing = standing(path)?;
        Ok(Some(Self { path: path.to_owned(), standing, _lock: lock }))
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its store is.
    pub fn store_dir(&self) -> PathBuf {
        self.path.join(STORE)
    }

    /// The node's key, made at the first call.
    ///
    /// # Errors
    /// [`SlotError::Damaged`] when the file is no key, [`SlotError::Io`].
    pub fn node_key(&self) -> Result<NodeKey, SlotError> {
        let path = self.path.join(NODE_KEY);
        if files::read(&path, MAX_FILE_BYTES).map_err(io(&path))?.is_none() {
            let text = Zeroizing::new(hex::encode(NodeKey::generate().secret()) + "\n");
            files::make(&path, text.as_bytes(), files::SECRET_MODE).map_err(io(&path))?;
        }
        let text = files::read(&path, MAX_FILE_BYTES).map_err(io(&path))?.map(Zeroizing::new);
        let key = text.as_deref().and_then(|text| parse_key(text));
        key.ok_or(SlotError::Damaged { path })
    }

    /// What its node noted last.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Notes how much the slot matters from now on; does nothing when that is what it says.
    ///
    /// # Errors
    /// [`SlotError::Io`].
    pub fn set_standing(&mut self, standing: Standing) -> Result<(), SlotError> {
        if standing != self.standing {
            let path = self.path.join(STANDING);
            let text = format!("{}\n", standing.name());
            files::replace(&path, text.as_bytes(), files::PLAIN_MODE).map_err(io(&path))?;
            self.standing = standing;
        }
        Ok(())
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SlotError + use<> {
    let path = path.to_owned();
    move |source| SlotError::Io { path, source }
}

fn path(data_dir: &Path, number: usize) -> PathBuf {
    data_dir.join(format!("{NUMBERED}{number}"))
}

/// The numbered slots that are there.
fn numbered(data_dir: &Path) -> Result<Vec<(usize, Standing)>, SlotError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data_dir).map_err(io(data_dir))? {
        let entry = entry.map_err(io(data_dir))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(NUMBERED)?.parse().ok());
        if let Some(number) = number.filter(|number| *number < MAX_SLOTS) {
            found.push((number, standing(&entry.path())?));
        }
    }
    Ok(found)
}

/// A note that can't be understood is worth a look before one that says it does not matter.
fn standing(slot: &Path) -> Result<Standing, SlotError> {
    let path = slot.join(STANDING);
    let bytes = match files::read(&path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(Standing::Learner),
        bytes => bytes.map_err(io(&path))?,
    };
    let Some(bytes) = bytes else { return Ok(Standing::Empty) };
    let text = String::from_utf8_lossy(&bytes);
    let known = Standing::ALL.into_iter().find(|standing| standing.name() == text.trim());
    Ok(known.unwrap_or(Standing::Learner))
}

fn parse_key(text: &[u8]) -> Option<NodeKey> {
    let mut secret = Zeroizing::new([0; bookmesh_rpc::peer::ID_BYTES]);
    hex::decode_to_slice(text.trim_ascii(), secret.as_mut_slice()).ok()?;
    NodeKey::from_slice(secret.as_slice()).ok()
}
