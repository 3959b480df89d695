//! A tree whose values are sealed, each for its place.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::{Engine, Fault, Scan, Tree};
use crate::key::Cipher;
use crate::names::{GroupName, TreeKind};

/// Keys removed between two commits. A removal may rewrite a leaf, so it counts for far more than
/// its key; this many stay well within what the writer lets wait for a commit.
const REMOVED_PER_COMMIT: usize = 32;

/// See the module.
#[derive(Clone)]
pub(crate) struct SealedTree {
    tree: Tree,
    name: Arc<str>,
    cipher: Arc<Cipher>,
}

impl SealedTree {
    pub(crate) fn open(
        engine: &Engine,
        cipher: &Arc<Cipher>,
        kind: TreeKind,
        group: &GroupName,
    ) -> Result<Self, Fault> {
        let name: Arc<str> = kind.tree(group).into();
        Ok(Self { tree: engine.tree(&name)?, name, cipher: cipher.clone() })
    }

    /// Encrypts; the caller's thread pays, not the writer's.
    pub(crate) fn seal(&self, key: &[u8], plain: &[u8]) -> Result<Vec<u8>, Fault> {
        self.cipher.seal(&self.place(key), plain).ok_or_else(|| Fault("too large".into()))
    }

    /// Puts what [`SealedTree::seal`] made.
    pub(crate) fn insert_sealed(&self, key: &[u8], sealed: Vec<u8>) -> Result<(), Fault> {
        self.tree.insert(key, sealed)
    }

    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let Some(sealed) = self.tree.get(key)? else { return Ok(None) };
        self.unseal(key, &sealed).map(Some)
    }

    pub(crate) fn remove(&self, key: &[u8]) -> Result<(), Fault> {
        self.tree.remove(key)
    }

    /// Removes keys that are in order from the last one back, so that a crash in between leaves no
    /// gap. Commits what waits already, and then after every few.
    pub(crate) fn remove_back(
        &self,
        keys: &[impl AsRef<[u8]>],
        commit: impl Fn() -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if keys.is_empty() {
            return Ok(());
        }
        commit()?;
        keys.rchunks(REMOVED_PER_COMMIT).try_for_each(|last| {
            last.iter().rev().try_for_each(|key| self.remove(key.as_ref()))?;
            commit()
        })
    }

    pub(crate) fn last_key(&self) -> Result<Option<Vec<u8>>, Fault> {
        self.tree.last_key()
    }

    /// Keys with what is in them as it lies on disk.
    pub(crate) fn scan_sealed(&self, keys: RangeInclusive<Vec<u8>>) -> Scan {
        self.tree.scan(keys)
    }

    /// Keys and values of a range.
    pub(crate) fn scan(
        &self,
        keys: RangeInclusive<Vec<u8>>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Bytes), Fault>> + use<'_> {
        self.tree.scan(keys).map(|pair| {
            let (key, sealed) = pair?;
            let value = self.unseal(&key, &sealed)?;
            Ok((key.to_vec(), value))
        })
    }

    fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<Bytes, Fault> {
        let opened = self.cipher.open(&self.place(key), sealed);
        opened.ok_or_else(|| Fault("it does not decrypt: not written there with this key".into()))
    }

    /// Names end with a byte that is in none of them.
    fn place(&self, key: &[u8]) -> Vec<u8> {
        [self.name.as_bytes(), &[0], key].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StoreKey;
    use std::cell::RefCell;

    #[test]
    fn a_large_removal_goes_backwards_and_commits_after_every_few() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(dir.path(), 1024 * 1024).unwrap();
        let cipher = Arc::new(Cipher::new(&StoreKey::generate()));
        let group = GroupName::rack(&"book-rack-001".parse().unwrap());
        let tree = SealedTree::open(&engine, &cipher, TreeKind::Log, &group).unwrap();
        let keys: Vec<[u8; 1]> = (0..100).map(|key| [key]).collect();
        keys.iter().for_each(|key| tree.insert_sealed(key, vec![0]).unwrap());

        let last_at_commits = RefCell::new(Vec::new());
        let commit = || {
            last_at_commits.borrow_mut().push(tree.last_key()?.map(|key| key[0]));
            Ok(())
        };
        tree.remove_back(&keys[10..], commit).unwrap();
        assert_eq!(*last_at_commits.borrow(), [Some(99), Some(67), Some(35), Some(9)]);
        tree.remove_back(&[[0; 1]; 0], || Err(Fault("nothing to commit".into()))).unwrap();
    }
}
