//! `bookmesh keys cert`: the certificate that a TLS proxy shows, its owner's or one of our own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::cli::CertArgs;

/// Named as those who give certificates do.
const CHAIN: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
/// What is known of a certificate that was signed here.
const NOTE: &str = "self-signed.json";
/// Some clients take none that is valid for more than 825 days, trusted or not.
const VALID_FOR: Duration = Duration::from_secs(820 * 24 * 60 * 60);
/// One that ends sooner is signed anew.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// For clocks that are behind.
const VALID_SINCE: Duration = Duration::from_secs(24 * 60 * 60);
/// A chain of certificates has some kilobytes.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

/// Sees to it that a directory holds a certificate and its key, and says which.
pub(super) fn run(args: &CertArgs) -> Result<(), Failure> {
    let own = Pair::in_dir(&args.dir);
    let given = match &args.from {
        Some(from) => Pair::in_dir(from).read()?,
        None => None,
    };
    let said = if let Some(given) = given {
        own.replace(&given)?;
        "the certificate that was given"
    } else if own.read()?.is_some() && !own.is_outdated(&args.host)? {
        "the certificate that was there"
    } else {
        own.sign(&args.host)?;
        "a new certificate, signed by itself"
    };
    writeln!(io::stdout().lock(), "{}: {said}", own.chain.display())?;
    Ok(())
}

/// Where a certificate and its key are.
struct Pair {
    chain: PathBuf,
    key: PathBuf,
    note: PathBuf,
}

/// Tells a certificate that was signed here from one that was given.
#[derive(Debug, Deserialize, Serialize)]
struct Note {
    /// In hex; a key with another public one was given.
    public_key: String,
    /// What the certificate is for; none while it is still to be written.
    hosts: Vec<String>,
    /// When it ends, in seconds since 1970.
    until_s: u64,
}

/// What they hold.
struct Pem {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Pair {
    fn in_dir(dir: &Path) -> Self {
        Self { chain: dir.join(CHAIN), key: dir.join(KEY), note: dir.join(NOTE) }
    }

    /// Both, or none of them; a key alone is one whose certificate is still to be signed.
    fn read(&self) -> Result<Option<Pem>, Failure> {
        let Some(chain) = read(&self.chain)? else { return Ok(None) };
        match read(&self.key)? {
            Some(key) => Ok(Some(Pem { chain, key: key.into() })),
            None => {
                let (chain, key) = (self.chain.display(), self.key.display());
                let what = format!("{chain} is there, and {key} is not: put it there");
                Err(Failure::Failed(format!("{what}, or remove the certificate")))
            }
        }
    }

    fn replace(&self, pem: &Pem) -> Result<(), Failure> {
        write(&self.key, &pem.key, 0o600)?;
        write(&self.chain, &pem.chain, 0o644)
    }

    /// Whether the certificate was signed here, and is for other hosts or ends soon.
    fn is_outdated(&self, hosts: &[String]) -> Result<bool, Failure> {
        let Some(note) = read(&self.note)? else { return Ok(false) };
        let Ok(note) = serde_json::from_slice::<Note>(&note) else { return Ok(false) };
        let Ok(Some(key)) = self.key_pair() else { return Ok(false) };
        let ours = note.public_key == hex::encode(key.public_key_raw());
        let renewed = unix_seconds(SystemTime::now() + RENEWED_BEFORE);
        Ok(ours && (note.hosts != hosts || note.until_s < renewed))
    }

    /// The key that is there.
    fn key_pair(&self) -> Result<Option<KeyPair>, Failure> {
        let Some(pem) = read(&self.key)? else { return Ok(None) };
        let pem = Zeroizing::new(pem);
        let text = std::str::from_utf8(&pem).unwrap_or_default();
        KeyPair::from_pem(text).map(Some).map_err(|error| {
            let key = self.key.display();
            Failure::Failed(format!("{key} holds no usable key ({error}): remove it"))
        })
    }

    /// Signs a certificate with the key that is there, or a new one.
    fn sign(&self, hosts: &[String]) -> Result<(), Failure> {
        let unusable = |error: rcgen::Error| {
            Failure::Failed(format!("no certificate for {}: {error}", hosts.join(", ")))
        };
        let key = match self.key_pair()? {
            Some(key) => key,
            None => KeyPair::generate().map_err(unusable)?,
        };
        let mut asked = CertificateParams::new(hosts).map_err(unusable)?;
        let now = SystemTime::now();
        asked.not_before = (now - VALID_SINCE).into();
        let until = now + VALID_FOR;
        asked.not_after = until.into();
        asked.distinguished_name.push(DnType::CommonName, "bookmesh");
        asked.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let chain = asked.self_signed(&key).map_err(unusable)?.pem().into_bytes();
        let public_key = hex::encode(key.public_key_raw());
        let key = Zeroizing::new(key.serialize_pem().into_bytes());
        // It names no hosts before the certificate is there: a crash in between has it made anew.
        let mut note = Note { public_key, hosts: Vec::new(), until_s: unix_seconds(until) };
        self.write_note(&note)?;
        self.replace(&Pem { chain, key })?;
        // After a power cut the note must not be there without what it is of.
        sync_dir(&self.chain)?;
        note.hosts = hosts.to_vec();
        self.write_note(&note)
    }

    fn write_note(&self, note: &Note) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(note).map_err(io::Error::from)?;
        write(&self.note, &text, 0o644)
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A file's bytes, if it is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let unreadable = |error| Failure::file("read", path, &error);
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
        Ok(found) if !found.is_file() || found.len() > MAX_PEM_BYTES => {
            return Err(Failure::Failed(format!("{} is no PEM file", path.display())));
        }
        Ok(_) => {}
    }
    fs::read(path).map(Some).map_err(unreadable)
}

/// Writes a file beside its place and moves it there: whoever reads it has it whole.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let write = || {
        let beside = path.with_extension(format!("tmp-{:016x}", rand::random::<u64>()));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&beside)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        let moved = written.and_then(|()| fs::rename(&beside, path));
        if moved.is_err() {
            let _ = fs::remove_file(&beside);
        }
        moved
    };
    write().map_err(|error: io::Error| Failure::file("write", path, &error))
}

/// Makes the names in a file's directory durable.
fn sync_dir(path: &Path) -> Result<(), Failure> {
    let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|error| Failure::file("write", dir, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn args(dir: &Path, from: Option<&Path>) -> CertArgs {
        let host = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        CertArgs { dir: dir.into(), host, from: from.map(Into::into) }
    }

    fn files(dir: &Path) -> [Vec<u8>; 2] {
        [CHAIN, KEY].map(|name| fs::read(dir.join(name)).unwrap())
    }

    #[test]
    fn it_is_made_once_and_its_key_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        run(&args(dir.path(), None)).unwrap();
        let made = files(dir.path());
        let mode = fs::metadata(dir.path().join(KEY)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing else is left");
        run(&args(dir.path(), None)).unwrap();
        assert_eq!(files(dir.path()), made);

        // What a crash between the two leaves.
        fs::remove_file(dir.path().join(CHAIN)).unwrap();
        run(&args(dir.path(), None)).unwrap();
        let again = files(dir.path());
        assert_eq!(again[1], made[1], "the key is kept");
        assert_ne!(again[0], made[0]);
    }

    #[test]
    fn one_of_our_own_is_signed_anew_for_other_hosts_and_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        run(&args(dir.path(), None)).unwrap();
        let first = files(dir.path());
        let other = CertArgs { host: vec!["books.example".into()], ..args(dir.path(), None) };
        run(&other).unwrap();
        let second = files(dir.path());
        assert_ne!(second[0], first[0]);
        assert_eq!(second[1], first[1], "whoever reads both at any time has a pair");
        run(&other).unwrap();
        assert_eq!(files(dir.path()), second);

        let path = dir.path().join(NOTE);
        let mut note: Note = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        note.until_s = unix_seconds(SystemTime::now() + RENEWED_BEFORE) - 1;
        fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        run(&other).unwrap();
        assert_ne!(files(dir.path())[0], second[0], "it would have ended soon");

        // What a crash leaves behind: a certificate that nothing was noted of yet.
        note.hosts.clear();
        note.until_s = u64::MAX;
        fs::write(&path, serde_json::to_vec(&note).unwrap()).unwrap();
        let before = files(dir.path());
        run(&other).unwrap();
        assert_ne!(files(dir.path())[0], before[0]);
    }

    #[test]
    fn the_owners_own_goes_first() {
        let [dir, from] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        run(&args(dir.path(), Some(from.path()))).unwrap();
        let of_our_own = files(dir.path());
        fs::write(from.path().join(CHAIN), "chain").unwrap();
        let error = run(&args(dir.path(), Some(from.path()))).unwrap_err().to_string();
        assert!(error.contains("privkey.pem is not"), "{error}");
        assert_eq!(files(dir.path()), of_our_own);

        fs::write(from.path().join(KEY), "key").unwrap();
        for _ in 0..2 {
            run(&args(dir.path(), Some(from.path()))).unwrap();
            assert_eq!(files(dir.path()), [b"chain".to_vec(), b"key".to_vec()]);
        }
        fs::remove_file(from.path().join(CHAIN)).unwrap();
        run(&args(dir.path(), Some(from.path()))).unwrap();
        assert_eq!(files(dir.path())[0], b"chain", "what was given is not forgotten");
        let other = CertArgs { host: vec!["else".into()], ..args(dir.path(), None) };
        run(&other).unwrap();
        assert_eq!(files(dir.path())[0], b"chain", "nor is it ours to sign anew");
    }

    #[test]
    fn faults_say_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let failure = |args: &CertArgs| run(args).unwrap_err().to_string();
        let nowhere = failure(&args(&dir.path().join("none"), None));
        assert!(nowhere.contains("can't write"), "{nowhere}");
        fs::write(dir.path().join(KEY), "no key").unwrap();
        let no_key = failure(&args(dir.path(), None));
        assert!(no_key.contains("remove it"), "{no_key}");
        fs::remove_file(dir.path().join(KEY)).unwrap();
        let odd = CertArgs { host: vec!["bücher".into()], ..args(dir.path(), None) };
        let odd = failure(&odd);
        assert!(odd.contains("no certificate for bücher"), "{odd}");
    }
}
