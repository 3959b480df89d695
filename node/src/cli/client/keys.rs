//! `bookmesh keys`: node keys and mesh keys, as files of 64 hex digits.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bookmesh_rpc::NodeKey;
use bookmesh_rpc::mesh::MeshKey;
use zeroize::Zeroizing;

use super::certificate;
use super::failure::Failure;
use crate::cli::KeysCommand;
use crate::config::Secret32;

/// The file in a slot that holds the node's key.
const SLOT_KEY: &str = "node.key";
/// A key file has 64 digits and an end of line; anything much longer is no key.
const MAX_KEY_FILE_BYTES: u64 = 128;

/// Makes or shows keys.
pub(super) fn run(command: &KeysCommand) -> Result<(), Failure> {
    let mut out = io::stdout();
    match command {
        KeysCommand::New { file } => {
            let key = NodeKey::generate();
            write_new(file, &key).map_err(|error| Failure::file("make", file, &error))?;
            writeln!(out, "{}", peer_id(&key, file)?)?;
        }
        KeysCommand::Show { path } if path.is_dir() => {
            for file in key_files(path)? {
                writeln!(out, "{}  {}", peer_id(&read(&file)?, &file)?, file.display())?;
            }
        }
        KeysCommand::Show { path } => writeln!(out, "{}", peer_id(&read(path)?, path)?)?,
        KeysCommand::Cert(args) => certificate::run(args)?,
        KeysCommand::Mesh => writeln!(out, "{}", MeshKey::generate().to_hex())?,
    }
    Ok(())
}

fn write_new(path: &Path, key: &NodeKey) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let text = Zeroizing::new(format!("{}\n", hex::encode(key.secret())));
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn read(path: &Path) -> Result<NodeKey, Failure> {
    let unreadable = |error| Failure::file("read", path, &error);
    let no_key = || Failure::Failed(format!("{} holds no key: 64 hex digits", path.display()));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    // A device has no length to check.
    if !metadata.is_file() || metadata.len() > MAX_KEY_FILE_BYTES {
        return Err(no_key());
    }
    let text = Zeroizing::new(fs::read(path).map_err(unreadable)?);
    let text = std::str::from_utf8(&text).map_err(|_| no_key())?;
    let secret = Secret32::from_hex(text.trim()).ok_or_else(no_key)?;
    NodeKey::from_slice(secret.as_bytes()).map_err(|_| no_key())
}

fn peer_id(key: &NodeKey, path: &Path) -> Result<String, Failure> {
    let id = key.peer_id().map_err(|error| {
        Failure::Failed(format!("{} holds no usable key: {error}", path.display()))
    })?;
    Ok(id.to_string())
}

/// The key of a slot, or of all slots of a data directory.
fn key_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error| Failure::file("look through", directory, &error);
    let mut places = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        places.push(entry.map_err(unreadable)?.path());
    }
    let files = places.into_iter().map(|place| place.join(SLOT_KEY)).filter(|file| file.is_file());
    let mut files: Vec<_> = files.collect();
    if files.is_empty() {
        let what = "has no slots yet: start a node with it, or name a key file";
        return Err(Failure::Failed(format!("{} {what}", directory.display())));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_the_owners_alone_and_is_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.key");
        let key = NodeKey::generate();
        write_new(&path, &key).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().peer_id(), key.peer_id());
        assert!(write_new(&path, &NodeKey::generate()).is_err());
        assert_eq!(read(&path).unwrap().peer_id(), key.peer_id());
    }

    #[test]
    fn every_slot_of_a_data_directory_is_found() {
        let directory = tempfile::tempdir().unwrap();
        for place in ["slot-0", "ork", "worker-0"] {
            let slot = directory.path().join(place);
            fs::create_dir(&slot).unwrap();
            write_new(&slot.join(SLOT_KEY), &NodeKey::generate()).unwrap();
        }
        assert_eq!(key_files(directory.path()).unwrap().len(), 3);
        assert_eq!(key_files(&directory.path().join("ork")).unwrap().len(), 1);
        let empty = tempfile::tempdir().unwrap();
        assert!(key_files(empty.path()).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k");
        for text in ["", "abc", &"0".repeat(1_000)] {
            fs::write(&path, text).unwrap();
            assert!(read(&path).is_err(), "{text}");
        }
    }
}
