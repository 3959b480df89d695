//! Whether the disk has room. Two lines are drawn: below the *watermark* a store says that it is
//! full, so that callers take nothing new; below the *floor* it refuses entries, while sled can
//! still write, as sled's faults last until the store is opened again. What lies between them is
//! for entries that were on their way when the first line was passed, and for what a group needs
//! to stay one: votes, blank entries, memberships.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::StoreError;

/// Looked at again after so many bytes appended: little beside what lies below the floor.
const LOOK_EVERY_BYTES: u64 = 1024 * 1024;
/// And after so long, as others write to the disk too, and may make room on it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The floor is this part of the watermark.
const FLOOR_PART: u64 = 4;
/// A full disk has room again when this part of the watermark is free above it, so that an entry
/// more or less does not change what is said.
const MARGIN_PART: u64 = 8;

/// How large a file system is, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// What who is not root may still write.
    pub free_bytes: u64,
    /// All of it.
    pub total_bytes: u64,
}

impl FileSystem {
    /// The one that holds a directory, as it is now.
    ///
    /// # Errors
    /// [`StoreError::Read`].
    pub fn of(dir: &Path) -> Result<Self, StoreError> {
        let stat = rustix::fs::statvfs(dir)
            .map_err(|error| StoreError::Read { why: format!("free space: {error}") })?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self { free_bytes: bytes(stat.f_bavail), total_bytes: bytes(stat.f_blocks) })
    }
}

/// See the module.
pub(crate) struct Space {
    dir: PathBuf,
    watermark: u64,
    began: Instant,
    /// What the last look saw.
    free: AtomicU64,
    full: AtomicBool,
    /// When it was, in milliseconds from `began`, and what was appended since.
    looked_ms: AtomicU64,
    since: AtomicU64,
    /// Held by whoever looks; the others go by the look before.
    looking: Mutex<()>,
}

impl Space {
    pub(crate) fn new(dir: &Path, watermark: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            watermark,
            began: Instant::now(),
            free: AtomicU64::new(u64::MAX),
            full: AtomicBool::new(false),
            looked_ms: AtomicU64::new(0),
            // The first to ask looks.
            since: AtomicU64::new(LOOK_EVERY_BYTES),
            looking: Mutex::default(),
        }
    }

    /// Whether so many bytes may be appended: until the floor.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), StoreError> {
        self.look_if_due()?;
        self.check(0, self.watermark / FLOOR_PART)?;
        self.since.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Whether anything new should be taken: until the watermark, and again from a little above.
    pub(crate) fn room(&self) -> Result<(), StoreError> {
        self.look_if_due()?;
        if !self.full.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (free_bytes, needed_bytes) = (self.free.load(Ordering::Relaxed), self.enough());
        Err(StoreError::DiskFull { free_bytes, needed_bytes })
    }

    /// As [`Space::room`], also after so many bytes more.
    pub(crate) fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        self.room()?;
        self.check(bytes, self.watermark)
    }

    fn check(&self, bytes: u64, line: u64) -> Result<(), StoreError> {
        let taken = self.since.load(Ordering::Relaxed);
        let free_bytes = self.free.load(Ordering::Relaxed).saturating_sub(taken);
        let needed_bytes = line.saturating_add(bytes);
        if free_bytes < needed_bytes {
            return Err(StoreError::DiskFull { free_bytes, needed_bytes });
        }
        Ok(())
    }

    /// What a full disk needs to have room again.
    fn enough(&self) -> u64 {
        self.watermark.saturating_add(self.watermark / MARGIN_PART)
    }

    fn look_if_due(&self) -> Result<(), StoreError> {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let age_ms = now_ms.saturating_sub(self.looked_ms.load(Ordering::Relaxed));
        let due = self.since.load(Ordering::Relaxed) >= LOOK_EVERY_BYTES
            || u128::from(age_ms) >= LOOK_EVERY.as_millis();
        if !due {
            return Ok(());
        }
        let Ok(_looking) = self.looking.try_lock() else { return Ok(()) };
        let free = self.look()?;
        self.since.store(0, Ordering::Relaxed);
        self.looked_ms.store(now_ms, Ordering::Relaxed);
        self.seen(free);
        Ok(())
    }

    fn look(&self) -> Result<u64, StoreError> {
        Ok(FileSystem::of(&self.dir)?.free_bytes)
    }

    /// Says so when the answer changes.
    fn seen(&self, free: u64) {
        let was_full = self.full.load(Ordering::Relaxed);
        let line = if was_full { self.enough() } else { self.watermark };
        let full = free < line;
        self.free.store(free, Ordering::Relaxed);
        self.full.store(full, Ordering::Relaxed);
        match (was_full, full) {
            (false, true) => {
                let needed = self.enough();
                tracing::warn!(free, needed, "the disk is nearly full: nothing new is taken");
            }
            (true, false) => tracing::info!(free, "the disk has room again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(watermark: u64) -> Space {
        let space = Space::new(Path::new("."), watermark);
        space.look_if_due().unwrap();
        // What is seen from here on is the test's.
        space.looked_ms.store(u64::MAX, Ordering::Relaxed);
        space
    }

    #[test]
    fn a_file_system_is_larger_than_what_is_free_in_it() {
        let FileSystem { free_bytes, total_bytes } = FileSystem::of(Path::new(".")).unwrap();
        assert!(0 < free_bytes && free_bytes < total_bytes, "{free_bytes} of {total_bytes}");
        assert!(FileSystem::of(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn between_the_lines_entries_are_taken_though_it_is_full() {
        let space = space(64);
        for (free, has_room, is_taken) in
            [(64, true, true), (63, false, true), (16, false, true), (15, false, false)]
        {
            space.seen(free);
            assert_eq!(
                (space.room().is_ok(), space.take(0).is_ok()),
                (has_room, is_taken),
                "{free}"
            );
        }
    }

    #[test]
    fn a_full_disk_has_room_again_only_well_above_the_watermark() {
        let space = space(64);
        let said: Vec<_> = [64, 63, 64, 71, 72, 64, 63]
            .into_iter()
            .map(|free| {
                space.seen(free);
                space.room().is_ok()
            })
            .collect();
        assert_eq!(said, [true, false, false, false, true, true, false]);
    }

    #[test]
    fn what_was_appended_since_the_last_look_counts() {
        let space = space(64);
        space.seen(100);
        space.take(80).unwrap();
        assert!(space.take(1).is_ok(), "20 are left, the floor is at 16");
        assert!(space.room_for(1).is_err());
        space.take(5).unwrap();
        let refused = space.take(1).unwrap_err();
        assert!(
            matches!(refused, StoreError::DiskFull { free_bytes: 14, needed_bytes: 16 }),
            "{refused}"
        );
    }

    #[test]
    fn it_is_looked_at_again_after_some_bytes() {
        let space = space(0);
        space.seen(5 * LOOK_EVERY_BYTES);
        space.take(2 * LOOK_EVERY_BYTES as usize).unwrap();
        space.take(1).unwrap();
        assert_eq!(space.since.load(Ordering::Relaxed), 1);
    }
}
