//! Small files that are there whole or not at all, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Read and write for the owner alone: what secrets get.
pub(crate) const SECRET_MODE: u32 = 0o600;
/// What other files get, less the process's umask.
pub(crate) const PLAIN_MODE: u32 = 0o644;
const CHECK: &str = "check ";

/// Writes a file beside its place, syncs it, and moves it there.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let _ = fs::remove_file(&temporary);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

/// As [`replace`], unless the file is there: of two processes that make it at once, both see the
/// file of one. Answers whether it was made by this call.
pub(crate) fn make(path: &Path, bytes: &[u8], mode: u32) -> io::Result<bool> {
    // Not the process's number: in containers that share a volume it is 1 in each of them.
    let own = format!("tmp-{:016x}", rand::random::<u64>());
    let temporary = path.with_extension(own);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match linked {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// The file's bytes, or `None` when there is none. A file over `max_bytes` is refused.
pub(crate) fn read(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(found) if found.len() > max_bytes => {
            let why = format!("{} bytes, at most {max_bytes} are expected", found.len());
            return Err(io::Error::new(ErrorKind::InvalidData, why));
        }
        Ok(_) => {}
    }
    fs::read(path).map(Some)
}

/// A text with a checksum of it as its last line.
pub(crate) fn checked(mut text: String) -> String {
    let check = blake3::hash(text.as_bytes());
    text.push_str(&format!("{CHECK}{check}\n"));
    text
}

/// The text that [`checked`] was given; `None` when the bytes are none that it made.
pub(crate) fn unchecked(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (lines, check) = text.strip_suffix('\n')?.rsplit_once(CHECK)?;
    (blake3::hash(lines.as_bytes()).to_hex().as_str() == check).then_some(lines)
}

/// Makes a directory and all above it durable.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_parent(path),
    }
}

/// Moves a directory to another name beside it; durable when it returns.
pub(crate) fn rename_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_parent(to)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        assert!(make(&path, b"one", SECRET_MODE).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!make(&path, b"two", SECRET_MODE).unwrap(), "the first one stays");
        assert_eq!(read(&path, 10).unwrap().unwrap(), b"one");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert!(read(&path, 3).unwrap().is_none());
        replace(&path, b"four", PLAIN_MODE).unwrap();
        assert!(read(&path, 3).is_err());
    }
}
