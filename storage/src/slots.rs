//! Slots of a data directory: replicas of one service share a volume, and each takes a slot, with
//! that slot's key and store, as its own.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bookmesh_rpc::NodeKey;
use zeroize::Zeroizing;

use crate::files;

/// Slots of one directory: more nodes than one machine runs.
pub const MAX_SLOTS: usize = 1000;
const WORKER: &str = "slot";
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

/// What a slot's note says. Ordered as slots are taken: by standing, then the newest knowledge
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    standing: Standing,
    known: Reverse<u64>,
}

/// One taken slot; free again when this is dropped.
#[derive(Debug)]
pub struct Slot {
    path: PathBuf,
    note: Note,
    /// Its lock goes with it.
    _lock: File,
}

impl Slot {
    /// Takes the free one of `slot-0`, `slot-1`, … that matters most: a voter's before a
    /// learner's before one that left before an empty one, of equals the one whose node knew the
    /// latest membership, then the lowest number. A new one when none is free.
    ///
    /// # Errors
    /// [`SlotError::NoneFree`], [`SlotError::Io`].
    pub fn take(data_dir: &Path) -> Result<Self, SlotError> {
        Self::take_numbered(data_dir, WORKER)
    }

    /// As [`Slot::take`], of the series `worker-0`, `worker-1`, … for the prefix `worker`.
    ///
    /// # Errors
    /// As [`Slot::take`], and [`SlotError::BadName`].
    pub fn take_numbered(data_dir: &Path, prefix: &str) -> Result<Self, SlotError> {
        check_name(prefix)?;
        Self::take_of(data_dir, |number| format!("{prefix}-{number}"))
    }

    /// As [`Slot::take`], of the series `ork`, `ork-1`, `ork-2`, … for the prefix `ork`.
    ///
    /// # Errors
    /// As [`Slot::take`], and [`SlotError::BadName`].
    pub fn take_series(data_dir: &Path, prefix: &str) -> Result<Self, SlotError> {
        check_name(prefix)?;
        Self::take_of(data_dir, |number| match number {
            0 => prefix.to_owned(),
            number => format!("{prefix}-{number}"),
        })
    }

    fn take_of(data_dir: &Path, name: impl Fn(usize) -> String) -> Result<Self, SlotError> {
        files::make_dir(data_dir).map_err(io(data_dir))?;
        let there = names(data_dir)?;
        let mut known = Vec::new();
        for number in 0..MAX_SLOTS {
            if there.contains(&name(number)) {
                known.push((note(&data_dir.join(name(number)))?, number));
            }
        }
        known.sort_unstable();
        let new = (0..MAX_SLOTS).filter(|number| !there.contains(&name(*number)));
        for number in known.iter().map(|(_, number)| *number).chain(new) {
            // Another process may make the same one now.
            if let Some(slot) = Self::try_take(&data_dir.join(name(number)))? {
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
        check_name(name)?;
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
        let note = note(path)?;
        Ok(Some(Self { path: path.to_owned(), note, _lock: lock }))
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
    pub const fn standing(&self) -> Standing {
        self.note.standing
    }

    /// How new the knowledge is that the standing was noted from: see [`Slot::set_standing`].
    pub const fn known(&self) -> u64 {
        self.note.known.0
    }

    /// Notes how much the slot matters from now on, and how new the knowledge of it is: the
    /// index in the group's log of the latest membership that its node knows. Does nothing when
    /// that is what it says.
    ///
    /// # Errors
    /// [`SlotError::Io`].
    pub fn set_standing(&mut self, standing: Standing, known: u64) -> Result<(), SlotError> {
        let note = Note { standing, known: Reverse(known) };
        if note != self.note {
            let path = self.path.join(STANDING);
            let text = format!("{} {known}\n", standing.name());
            files::replace(&path, text.as_bytes(), files::PLAIN_MODE).map_err(io(&path))?;
            self.note = note;
        }
        Ok(())
    }
}

fn check_name(name: &str) -> Result<(), SlotError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(SlotError::BadName(name.chars().take(64).collect()));
    }
    Ok(())
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> SlotError + use<> {
    let path = path.to_owned();
    move |source| SlotError::Io { path, source }
}

/// The names that are in a data directory.
fn names(data_dir: &Path) -> Result<BTreeSet<String>, SlotError> {
    let entries = fs::read_dir(data_dir).map_err(io(data_dir))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<std::io::Result<_>>().map_err(io(data_dir))
}

/// What a slot's note says. One that can't be understood is worth a look before one that says it
/// does not matter. Notes of the time before they had a number count as the oldest.
fn note(slot: &Path) -> Result<Note, SlotError> {
    let unclear = Note { standing: Standing::Learner, known: Reverse(0) };
    let path = slot.join(STANDING);
    let bytes = match files::read(&path, MAX_FILE_BYTES) {
        Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(unclear),
        bytes => bytes.map_err(io(&path))?,
    };
    let Some(bytes) = bytes else {
        return Ok(Note { standing: Standing::Empty, known: Reverse(0) });
    };
    Ok(parse_note(&String::from_utf8_lossy(&bytes)).unwrap_or(unclear))
}

fn parse_note(text: &str) -> Option<Note> {
    let (name, known) = match text.trim().split_once(' ') {
        None => (text.trim(), 0),
        Some((name, known)) => (name, known.parse().ok()?),
    };
    let standing = Standing::ALL.into_iter().find(|standing| standing.name() == name)?;
    Some(Note { standing, known: Reverse(known) })
}

fn parse_key(text: &[u8]) -> Option<NodeKey> {
    let mut secret = Zeroizing::new([0; bookmesh_rpc::peer::ID_BYTES]);
    hex::decode_to_slice(text.trim_ascii(), secret.as_mut_slice()).ok()?;
    NodeKey::from_slice(secret.as_slice()).ok()
}
