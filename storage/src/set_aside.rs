//! A store that can't be opened as a whole makes place: it is moved aside, never deleted, and an
//! empty one that knows what was lost takes its name.
//!
//! The empty one is made beside it, with its list of what was lost, before anything moves. Two
//! renames follow. A crash before the first leaves the damaged store where it was; one between
//! them leaves no store and the empty one beside its place, which the next opening moves there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::OpenError;
use crate::files;
use crate::lost::{Lost, MustJoin};
use crate::marks::Marks;
use crate::names::GroupName;

const FRESH: &str = "fresh";
const DAMAGED: &str = "damaged-";
/// Damaged stores that are kept: a disk that brings this many forth is of no use.
const MAX_KEPT: u32 = 100;

/// A damaged store that made place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is now, as it was found.
    pub path: PathBuf,
    /// What was wrong with it.
    pub why: String,
    /// The groups that it had; `None` when that can't be told any more.
    pub groups: Option<BTreeSet<GroupName>>,
}

/// Moves the damaged store at `dir` aside, and puts an unfinished empty one into its place. The
/// caller holds the damaged one's lock.
pub(crate) fn set_aside(dir: &Path, why: String) -> Result<SetAside, OpenError> {
    let groups = groups(dir)?;
    let fresh = beside(dir, FRESH)?;
    make_fresh(&fresh, &MustJoin::new(groups.clone()))?;
    let path = free_name(dir, &why)?;
    rename(dir, &path)?;
    rename(&fresh, dir)?;
    Ok(SetAside { path, why, groups })
}

/// Ends what a crash has interrupted.
pub(crate) fn finish(dir: &Path) -> Result<(), OpenError> {
    if exists(dir)? {
        return Ok(());
    }
    let fresh = beside(dir, FRESH)?;
    if exists(&fresh)? { rename(&fresh, dir) } else { Ok(()) }
}

/// The groups that a damaged store had, and those that it had to join itself.
fn groups(dir: &Path) -> Result<Option<BTreeSet<GroupName>>, OpenError> {
    let (Some(marks), Some(lost)) = (readable(Marks::load(dir, true))?, readable(Lost::load(dir))?)
    else {
        return Ok(None);
    };
    let lost = lost.get();
    if lost.is_unknown() {
        return Ok(None);
    }
    Ok(Some(marks.groups().into_iter().chain(lost.names().cloned()).collect()))
}

fn readable<T>(read: Result<T, OpenError>) -> Result<Option<T>, OpenError> {
    match read {
        Err(OpenError::Corrupt { .. }) => Ok(None),
        read => read.map(Some),
    }
}

fn make_fresh(fresh: &Path, lost: &MustJoin) -> Result<(), OpenError> {
    match fs::remove_dir_all(fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(OpenError::io(fresh, &error));
        }
        _ => {}
    }
    files::make_dir(fresh).map_err(|error| OpenError::io(fresh, &error))?;
    Lost::write(fresh, lost)
}

fn free_name(dir: &Path, why: &str) -> Result<PathBuf, OpenError> {
    for number in 1..=MAX_KEPT {
        let path = beside(dir, &format!("{DAMAGED}{number}"))?;
        if !exists(&path)? {
            return Ok(path);
        }
    }
    let why = format!("{why}; {MAX_KEPT} damaged ones are beside it already");
    Err(OpenError::Corrupt { dir: dir.to_owned(), why })
}

/// `<dir>.<name>`.
fn beside(dir: &Path, name: &str) -> Result<PathBuf, OpenError> {
    let Some(own) = dir.file_name() else {
        let error = io::Error::new(ErrorKind::InvalidInput, "a store's path ends in a name");
        return Err(OpenError::io(dir, &error));
    };
    let mut path = OsString::from(own);
    path.push(".");
    path.push(name);
    Ok(dir.with_file_name(path))
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(|error| OpenError::io(path, &error))
}

fn rename(from: &Path, to: &Path) -> Result<(), OpenError> {
    files::rename_dir(from, to).map_err(|error| OpenError::io(from, &error))
}
