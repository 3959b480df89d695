//! 32 secret bytes.

use std::fmt;

use zeroize::Zeroizing;

/// 32 secret bytes that never show in logs and are wiped when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret32(Zeroizing<[u8; 32]>);

impl Secret32 {
    /// From exactly 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, &mut *bytes).ok()?;
        Some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 hex digits, to be kept secret.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(*self.0))
    }
}

impl fmt::Debug for Secret32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret32(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_hex_and_hides_in_debug_output() {
        let text = "0f".repeat(32);
        let secret = Secret32::from_hex(&text).unwrap();
        assert_eq!(*secret.to_hex(), text);
        assert_eq!(format!("{secret:?}"), "Secret32(secret)");
        for wrong in ["", "0f", &"0".repeat(63), &"z".repeat(64), &"0".repeat(66)] {
            assert_eq!(Secret32::from_hex(wrong), None, "{wrong}");
        }
    }
}
