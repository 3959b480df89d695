//! The `FORMAT` file of a store: which version wrote it, and a check of its key. Text of three
//! lines, so that people can read it too.

use std::path::Path;

use crate::error::OpenError;
use crate::files;
use crate::key::StoreKey;

/// Grows with every change of what is on disk, the encoding of commands included.
pub const FORMAT_VERSION: u32 = 1;
const FILE: &str = "FORMAT";
const TITLE: &str = "bookmesh store";
const MAX_FILE_BYTES: u64 = 4096;

/// Whether the directory holds a store that this program and key can read. `false` when no store
/// was ever finished there.
pub(crate) fn check(dir: &Path, key: &StoreKey) -> Result<bool, OpenError> {
    let path = dir.join(FILE);
    let bytes = files::read(&path, MAX_FILE_BYTES).map_err(|error| OpenError::io(&path, &error))?;
    let Some(bytes) = bytes else { return Ok(false) };
    let text = String::from_utf8_lossy(&bytes);
    let damaged =
        || OpenError::Corrupt { dir: dir.to_owned(), why: "its FORMAT file is not one".into() };
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(damaged());
    }
    let found = lines.next().and_then(|line| line.strip_prefix("version "));
    let found: u32 = found.and_then(|digits| digits.parse().ok()).ok_or_else(damaged)?;
    if found > FORMAT_VERSION {
        let supported = FORMAT_VERSION;
        return Err(OpenError::NewerFormat { dir: dir.to_owned(), found, supported });
    }
    let check = lines.next().and_then(|line| line.strip_prefix("key ")).ok_or_else(damaged)?;
    if check != key.check() {
        return Err(OpenError::WrongKey { dir: dir.to_owned() });
    }
    Ok(true)
}

/// Says that the store is made.
pub(crate) fn write(dir: &Path, key: &StoreKey) -> Result<(), OpenError> {
    let path = dir.join(FILE);
    let text = format!("{TITLE}\nversion {FORMAT_VERSION}\nkey {}\n", key.check());
    files::replace(&path, text.as_bytes(), files::PLAIN_MODE)
        .map_err(|error| OpenError::io(&path, &error))
}
