//! Whether the disk has room: entries stop while sled can still write, as its faults last until
//! the next start.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::StoreError;

/// Looked at once for so many bytes appended.
const CHECK_EVERY_BYTES: u64 = 1024 * 1024;

/// See the module.
pub(crate) struct Space {
    dir: PathBuf,
    min_free_bytes: u64,
    /// Appended since the last look; a full disk is looked at every time.
    since: AtomicU64,
}

impl Space {
    pub(crate) fn new(dir: &Path, min_free_bytes: u64) -> Self {
        // The first append looks.
        let since = AtomicU64::new(CHECK_EVERY_BYTES);
        Self { dir: dir.to_owned(), min_free_bytes, since }
    }

    /// Whether so many bytes may be appended.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), StoreError> {
        let since = self.since.fetch_add(bytes as u64, Ordering::Relaxed);
        if since < CHECK_EVERY_BYTES {
            return Ok(());
        }
        self.check()?;
        self.since.store(0, Ordering::Relaxed);
        Ok(())
    }

    /// Whether entries are taken now.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| StoreError::Read { why: format!("free space: {error}") })?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free_bytes < self.min_free_bytes {
            let needed_bytes = self.min_free_bytes;
            return Err(StoreError::DiskFull { free_bytes, needed_bytes });
        }
        Ok(())
    }
}
