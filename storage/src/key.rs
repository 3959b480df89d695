//! The key that everything in a store is encrypted with, and the cipher made of it.

use std::fmt;
use std::path::Path;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::error::OpenError;
use crate::files;

/// Length of a key, in bytes.
pub const KEY_BYTES: usize = 32;
/// XChaCha20's nonce: long enough to be drawn at random for every value.
const NONCE_BYTES: usize = 24;
/// Poly1305's tag.
const TAG_BYTES: usize = 16;
/// What a sealed value has more than its plain text.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// A key file: 64 hex digits and white space.
const MAX_KEY_FILE_BYTES: u64 = 256;

/// `STORE_PRIMARY_KEY`: 32 bytes.
#[derive(Clone)]
pub struct StoreKey(Zeroizing<[u8; KEY_BYTES]>);

impl StoreKey {
    /// A new random key.
    pub fn generate() -> Self {
        Self(Zeroizing::new(rand::random()))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key with these 64 hex digits; white space around them is passed over.
    ///
    /// # Errors
    /// [`OpenError::BadKey`].
    pub fn from_hex(text: &str) -> Result<Self, OpenError> {
        Self::parse(text, "STORE_PRIMARY_KEY")
    }

    fn parse(text: &str, what: &str) -> Result<Self, OpenError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| OpenError::BadKey { what: what.to_owned() })?;
        Ok(Self(bytes))
    }

    /// The key in a file.
    ///
    /// # Errors
    /// [`OpenError::Io`] or [`OpenError::BadKey`].
    pub fn load(path: &Path) -> Result<Self, OpenError> {
        Self::find(path)?.ok_or_else(|| OpenError::Io {
            path: path.to_owned(),
            why: "there is no such file".into(),
        })
    }

    /// The key in a file, which is made with mode 0600 and a new key when there is none.
    ///
    /// # Errors
    /// [`OpenError::Io`] or [`OpenError::BadKey`].
    pub fn load_or_make(path: &Path) -> Result<Self, OpenError> {
        if let Some(key) = Self::find(path)? {
            return Ok(key);
        }
        let fail = |error| OpenError::io(path, &error);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            files::make_dir(parent).map_err(fail)?;
        }
        let text = Zeroizing::new(format!("{}\n", Self::generate().to_hex().as_str()));
        files::make(path, text.as_bytes(), files::SECRET_MODE).map_err(fail)?;
        Self::load(path)
    }

    fn find(path: &Path) -> Result<Option<Self>, OpenError> {
        let bytes =
            files::read(path, MAX_KEY_FILE_BYTES).map_err(|error| OpenError::io(path, &error))?;
        let Some(bytes) = bytes.map(Zeroizing::new) else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        Self::parse(text, &path.display().to_string()).map(Some)
    }

    /// The 64 hex digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.as_slice()))
    }

    /// Tells keys apart and says nothing of the key: kept in the clear, so that a wrong key is
    /// refused before anything is read.
    pub(crate) fn check(&self) -> String {
        let derived = blake3::derive_key("bookmesh store 1: key check", self.0.as_slice());
        hex::encode(&derived[..16])
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(secret)")
    }
}

/// Encrypts values before sled sees them: XChaCha20-Poly1305, `nonce ‖ ciphertext ‖ tag`. The
/// place of a value (tree and key) is authenticated with it, so that values can't be swapped.
pub(crate) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(crate) fn new(key: &StoreKey) -> Self {
        let derived =
            Zeroizing::new(blake3::derive_key("bookmesh store 1: values", key.0.as_slice()));
        Self(XChaCha20Poly1305::new(derived.as_slice().into()))
    }

    /// `None` when the value is larger than the cipher takes (256 GiB).
    pub(crate) fn seal(&self, place: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: plain, aad: place };
        let body = self.0.encrypt(XNonce::from_slice(&nonce), payload).ok()?;
        let mut sealed = Vec::with_capacity(NONCE_BYTES + body.len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&body);
        Some(sealed)
    }

    /// `None` when the value was not sealed with this key for this place.
    pub(crate) fn open(&self, place: &[u8], sealed: &[u8]) -> Option<Bytes> {
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: body, aad: place };
        self.0.decrypt(XNonce::from_slice(nonce), payload).ok().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_only_at_its_place_and_with_its_key() {
        let cipher = Cipher::new(&StoreKey::generate());
        let sealed = cipher.seal(b"here", b"text").unwrap();
        assert_eq!(sealed.len(), 4 + SEAL_BYTES);
        assert_eq!(cipher.open(b"here", &sealed).unwrap(), "text");
        assert!(cipher.open(b"there", &sealed).is_none());
        assert!(Cipher::new(&StoreKey::generate()).open(b"here", &sealed).is_none());
        assert!(cipher.open(b"here", &sealed[..10]).is_none());
    }

    #[test]
    fn a_key_file_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/store.key");
        assert!(StoreKey::load(&path).is_err());
        let first = StoreKey::load_or_make(&path).unwrap();
        let again = StoreKey::load_or_make(&path).unwrap();
        assert_eq!(first.to_hex(), again.to_hex());
        assert_ne!(first.check(), StoreKey::generate().check());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "ab", &"g".repeat(64), &"0".repeat(66)] {
            assert!(matches!(StoreKey::from_hex(text), Err(OpenError::BadKey { .. })));
        }
        assert!(StoreKey::from_hex(&format!(" {}\n", "0f".repeat(32))).is_ok());
        assert_eq!(format!("{:?}", StoreKey::generate()), "StoreKey(secret)");
    }
}
