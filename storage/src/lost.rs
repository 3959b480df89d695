//! Groups whose data this store had and has no more. They must be joined: whoever founded one
//! again, as if it had never been, would make a second history of it. A file of its own says so
//! until the group is filled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::OpenError;
use crate::files;
use crate::names::GroupName;

const FILE: &str = "must-join";
/// Thousands of groups.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;
/// Says that the names of what was lost are unknown.
const UNKNOWN: &str = "unknown";

/// How far a group is that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// What is left of it is of no use, and is wiped first.
    Wipe,
    /// It has nothing, or what it was filled with so far.
    Join,
    /// It is whole again. Kept only as long as other names are unknown.
    Filled,
}

impl Step {
    const ALL: [Self; 3] = [Self::Wipe, Self::Join, Self::Filled];

    const fn name(self) -> &'static str {
        match self {
            Self::Wipe => "wipe",
            Self::Join => "join",
            Self::Filled => "filled",
        }
    }
}

/// Which groups must be joined and never founded, until they are filled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MustJoin {
    steps: BTreeMap<GroupName, Step>,
    unknown: bool,
}

impl MustJoin {
    pub(crate) fn new(names: Option<BTreeSet<GroupName>>) -> Self {
        let unknown = names.is_none();
        let names = names.unwrap_or_default().into_iter();
        Self { steps: names.map(|name| (name, Step::Join)).collect(), unknown }
    }

    /// Whether this group must. One whose data were never lost need not, unless the names of lost
    /// groups are unknown: then it may have been one of them.
    pub fn contains(&self, group: &GroupName) -> bool {
        self.steps.get(group).map_or(self.unknown, |step| *step != Step::Filled)
    }

    /// Those that are known by name.
    pub fn names(&self) -> impl Iterator<Item = &GroupName> {
        let unfilled = self.steps.iter().filter(|(_, step)| **step != Step::Filled);
        unfilled.map(|(group, _)| group)
    }

    /// Whether there may be others: the damage took their names too.
    pub const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        !self.unknown && self.names().next().is_none()
    }

    fn to_wipe(&self) -> Vec<GroupName> {
        let unwiped = self.steps.iter().filter(|(_, step)| **step == Step::Wipe);
        unwiped.map(|(group, _)| group.clone()).collect()
    }

    fn set(&mut self, group: &GroupName, step: Step) {
        if step == Step::Filled && !self.unknown {
            self.steps.remove(group);
        } else {
            self.steps.insert(group.clone(), step);
        }
    }
}

/// See the module.
pub(crate) struct Lost {
    path: PathBuf,
    state: Mutex<MustJoin>,
}

impl Lost {
    /// What the file says; nothing when there is none.
    pub(crate) fn load(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let bytes =
            files::read(&path, MAX_FILE_BYTES).map_err(|error| OpenError::io(&path, &error))?;
        let state = bytes.map_or_else(|| Some(MustJoin::default()), |bytes| decode(&bytes));
        let state = state.ok_or_else(|| OpenError::Corrupt {
            dir: dir.to_owned(),
            why: format!("its {FILE} file is damaged"),
        })?;
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Writes the file of a store that is about to be made.
    pub(crate) fn write(dir: &Path, state: &MustJoin) -> Result<(), OpenError> {
        let path = dir.join(FILE);
        files::replace(&path, encode(state).as_bytes(), files::PLAIN_MODE)
            .map_err(|error| OpenError::io(&path, &error))
    }

    pub(crate) fn get(&self) -> MustJoin {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Groups whose wipe was begun.
    pub(crate) fn to_wipe(&self) -> Vec<GroupName> {
        self.get().to_wipe()
    }

    /// Notes how far a group is; the file says so when it returns. What it said before stands
    /// when it can't be written.
    pub(crate) fn set(&self, group: &GroupName, step: Step) -> Result<(), OpenError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = state.clone();
        next.set(group, step);
        if next != *state {
            files::replace(&self.path, encode(&next).as_bytes(), files::PLAIN_MODE)
                .map_err(|error| OpenError::io(&self.path, &error))?;
            *state = next;
        }
        Ok(())
    }
}

/// One line for each group, `<step> <group>`, a line more when others are unknown, and a checksum
/// of all above it.
fn encode(state: &MustJoin) -> String {
    let mut text = String::new();
    if state.unknown {
        let _ = writeln!(text, "{UNKNOWN}");
    }
    for (group, step) in &state.steps {
        let _ = writeln!(text, "{} {group}", step.name());
    }
    files::checked(text)
}

fn decode(bytes: &[u8]) -> Option<MustJoin> {
    let mut state = MustJoin::default();
    for line in files::unchecked(bytes)?.lines() {
        if line == UNKNOWN {
            state.unknown = true;
            continue;
        }
        let (step, group) = line.split_once(' ')?;
        let step = Step::ALL.into_iter().find(|known| known.name() == step)?;
        state.steps.insert(group.parse().ok()?, step);
    }
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rack(name: &str) -> GroupName {
        GroupName::rack(&name.parse().unwrap())
    }

    #[test]
    fn a_known_loss_ends_when_the_group_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let lost = Lost::load(dir.path()).unwrap();
        assert!(lost.get().is_empty());
        lost.set(&rack("a"), Step::Wipe).unwrap();
        lost.set(&rack("b"), Step::Join).unwrap();
        let again = Lost::load(dir.path()).unwrap();
        assert_eq!(again.to_wipe(), [rack("a")]);
        assert_eq!(again.get().names().collect::<Vec<_>>(), [&rack("a"), &rack("b")]);
        assert!(!again.get().contains(&rack("c")));
        again.set(&rack("a"), Step::Filled).unwrap();
        again.set(&rack("b"), Step::Filled).unwrap();
        assert!(Lost::load(dir.path()).unwrap().get().is_empty());
    }

    #[test]
    fn when_names_are_unknown_every_group_was_lost_until_it_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        Lost::write(dir.path(), &MustJoin::new(None)).unwrap();
        let lost = Lost::load(dir.path()).unwrap();
        assert!(lost.get().contains(&rack("a")) && lost.get().is_unknown());
        lost.set(&rack("a"), Step::Filled).unwrap();
        let again = Lost::load(dir.path()).unwrap().get();
        assert!(!again.contains(&rack("a")) && again.contains(&rack("b")));
    }

    #[test]
    fn a_damaged_file_is_not_read_as_no_loss() {
        let dir = tempfile::tempdir().unwrap();
        Lost::write(dir.path(), &MustJoin::new(Some([rack("a")].into()))).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert!(matches!(Lost::load(dir.path()), Err(OpenError::Corrupt { .. })), "{at}");
        }
    }
}
