//! The key of a mesh as a file that whoever needs it first makes.

use std::path::Path;

use bookmesh_rpc::mesh::MeshKey;
use bookmesh_storage::StoreKey;

use super::base::StartError;
use crate::config::Settings;

/// The key that settings give, which may be one that is to be made; none, when they give none.
///
/// # Errors
/// [`StartError`] when it can't be made.
pub fn of(settings: &Settings) -> Result<Option<MeshKey>, StartError> {
    match (&settings.mesh_key, &settings.mesh_key_to_make) {
        (Some(key), _) => Ok(Some(key.clone())),
        (None, Some(path)) => {
            let there = path.exists();
            let key = load_or_make(path)?;
            if !there {
                let path = path.display();
                tracing::warn!(%path, "a mesh key was made: a new mesh, whose nodes all need it");
            }
            Ok(Some(key))
        }
        (None, None) => Ok(None),
    }
}

/// The key in a file, which is made with a new one when there is none. Of many that make it at
/// once, in one container or in several that share a volume, all get the same.
///
/// # Errors
/// [`StartError`] when the file can't be made or holds no key.
pub fn load_or_make(path: &Path) -> Result<MeshKey, StartError> {
    // It is a key of the same make.
    let text = StoreKey::load_or_make(path)?.to_hex();
    MeshKey::from_hex(&text)
        .map_err(|error| StartError::Late(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;

    use super::*;

    /// More than replicas of a service that start at once.
    const MAKERS: usize = 32;

    #[test]
    fn all_who_make_a_key_at_once_get_the_same() {
        for _ in 0..20 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("new/mesh.key");
            let start = Barrier::new(MAKERS);
            let make = || {
                start.wait();
                load_or_make(&path).unwrap().to_hex()
            };
            let keys: Vec<_> = std::thread::scope(|scope| {
                let makers: Vec<_> = (0..MAKERS).map(|_| scope.spawn(make)).collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect()
            });
            let written = std::fs::read_to_string(&path).unwrap();
            assert!(keys.iter().all(|key| *key == written.trim()), "{keys:?}");
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "it is its owner's alone");
            let parent = path.parent().unwrap();
            assert_eq!(std::fs::read_dir(parent).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[test]
    fn what_is_there_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.key");
        for damaged in ["", "abc\n", &"0".repeat(63)] {
            std::fs::write(&path, damaged).unwrap();
            let error = load_or_make(&path).unwrap_err().to_string();
            assert!(error.contains("64 hex digits"), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
        }
    }
}
