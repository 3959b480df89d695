//! The high-water marks: how far each group's log had come, in a small file of its own. sled's
//! recovery ends silently at the first damaged segment; what is left verifies, and only this file
//! knows that there was more.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bookmesh_rpc::api::Hash;

use crate::error::{Mark, OpenError};
use crate::files;
use crate::names::GroupName;

/// The file is written at most this often. A power cut within it is told from the log alone.
const INTERVAL: Duration = Duration::from_secs(1);
const FILE: &str = "high-water";
/// Thousands of groups.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Default)]
struct State {
    marks: BTreeMap<GroupName, Mark>,
    dirty: bool,
    closed: bool,
}

/// See the module.
pub(crate) struct Marks {
    path: PathBuf,
    state: Mutex<State>,
    /// Held while the file is written, and taken before `state`: appends wait for neither.
    file: Mutex<()>,
    changed: Condvar,
}

impl Marks {
    /// The marks of a store; none before the store's making was `finished`.
    pub(crate) fn load(dir: &Path, finished: bool) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let bytes =
            files::read(&path, MAX_FILE_BYTES).map_err(|error| OpenError::io(&path, &error))?;
        let marks = match bytes {
            None if !finished => Some(BTreeMap::new()),
            None => None,
            Some(bytes) => decode(&bytes),
        };
        let marks = marks.ok_or_else(|| OpenError::Corrupt {
            dir: dir.to_owned(),
            why: format!("its {FILE} file is missing or damaged"),
        })?;
        let state = Mutex::new(State { marks, ..State::default() });
        Ok(Self { path, state, file: Mutex::new(()), changed: Condvar::new() })
    }

    pub(crate) fn get(&self, group: &GroupName) -> Option<Mark> {
        self.lock().marks.get(group).copied()
    }

    pub(crate) fn all(&self) -> BTreeMap<GroupName, Mark> {
        self.lock().marks.clone()
    }

    pub(crate) fn groups(&self) -> Vec<GroupName> {
        self.lock().marks.keys().cloned().collect()
    }

    /// Notes how far a group's log is durable; the file follows within [`INTERVAL`].
    pub(crate) fn raise(&self, group: &GroupName, mark: Mark) {
        let mut state = self.lock();
        state.marks.insert(group.clone(), mark);
        if !state.dirty {
            state.dirty = true;
            self.changed.notify_all();
        }
    }

    /// As [`Marks::raise`], and the file says so when it returns: before a log is cut or a group
    /// wiped (`None`), or it would seem to have lost entries.
    pub(crate) fn set_now(&self, group: &GroupName, mark: Option<Mark>) -> Result<(), OpenError> {
        let _file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match mark {
            Some(mark) => self.lock().marks.insert(group.clone(), mark),
            None => self.lock().marks.remove(group),
        };
        self.write()
    }

    /// Writes the file.
    pub(crate) fn save(&self) -> Result<(), OpenError> {
        let _file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        self.write()
    }

    /// Only with `file` locked.
    fn write(&self) -> Result<(), OpenError> {
        let text = {
            let mut state = self.lock();
            state.dirty = false;
            encode(&state.marks)
        };
        files::replace(&self.path, text.as_bytes(), files::PLAIN_MODE)
            .map_err(|error| OpenError::io(&self.path, &error))
    }

    /// Keeps the file up to date until [`Marks::close`]; the body of a thread.
    pub(crate) fn run(&self) {
        loop {
            let mut state = self.lock();
            while !state.dirty && !state.closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closed {
                return;
            }
            drop(state);
            if let Err(error) = self.save() {
                tracing::warn!(%error, "the high-water file is not up to date");
            }
            let state = self.lock();
            let waited = self.changed.wait_timeout_while(state, INTERVAL, |state| !state.closed);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Ends [`Marks::run`]; the file is the caller's to save.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line for each group, `<group> <index or -> <hash>`, and a checksum of all above it.
fn encode(marks: &BTreeMap<GroupName, Mark>) -> String {
    let mut text = String::new();
    for (group, mark) in marks {
        let index = mark.index.map_or("-".to_owned(), |index| index.to_string());
        let _ = writeln!(text, "{group} {index} {}", mark.hash);
    }
    files::checked(text)
}

fn decode(bytes: &[u8]) -> Option<BTreeMap<GroupName, Mark>> {
    files::unchecked(bytes)?.lines().map(decode_line).collect()
}

fn decode_line(line: &str) -> Option<(GroupName, Mark)> {
    let mut words = line.split(' ');
    let (group, index, hash) = (words.next()?, words.next()?, words.next()?);
    let index = if index == "-" { None } else { Some(index.parse().ok()?) };
    let mut bytes = [0; 32];
    hex::decode_to_slice(hash, &mut bytes).ok()?;
    Some((group.parse().ok()?, Mark { index, hash: Hash(bytes) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_a_damaged_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let marks = Marks::load(dir.path(), false).unwrap();
        let rack = GroupName::rack(&"a".parse().unwrap());
        let mark = Mark { index: Some(7), hash: Hash([3; 32]) };
        marks.raise(&rack, mark);
        let none = Mark { index: None, hash: Hash::ZERO };
        marks.set_now(&GroupName::registry(), Some(none)).unwrap();
        let again = Marks::load(dir.path(), true).unwrap();
        assert_eq!(again.get(&rack), Some(mark));
        assert_eq!(again.get(&GroupName::registry()), Some(none));

        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[3] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Marks::load(dir.path(), true), Err(OpenError::Corrupt { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(Marks::load(dir.path(), true), Err(OpenError::Corrupt { .. })));
    }
}
