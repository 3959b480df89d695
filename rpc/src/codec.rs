//! The bytes of the typed API: bincode 2, its standard configuration (little endian, variable
//! length integers), with a limit on what a decoder may read or allocate.
//!
//! The same encoding is what the log keeps, so a change of a type that stands in the log is a
//! change of the storage format version, and of the mesh's major version.

use bincode::config;
use serde::{Serialize, de::DeserializeOwned};

/// The most bytes that one encoded value may have: a wire frame without its head.
pub const MAX_ENCODED_BYTES: usize = 8 * 1024 * 1024;

/// Most values fit into this, so that encoding them allocates once.
const USUAL_BYTES: usize = 512;

/// Why bytes are not a value, or a value has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end early, are out of range, or claim more than the limit.
    #[error("not decodable: {0}")]
    Decode(String),
    /// A whole value was read and bytes are left over.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// The value is larger than a frame, or its type has no encoding.
    #[error("not encodable: {0}")]
    Encode(String),
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::Encode`] when it takes more than [`MAX_ENCODED_BYTES`].
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    bincode::serde::encode_into_std_write(value, &mut bytes, config::standard())
        .map_err(|error| CodecError::Encode(error.to_string()))?;
    if bytes.len() > MAX_ENCODED_BYTES {
        return Err(CodecError::Encode(format!(
            "{} bytes, at most {MAX_ENCODED_BYTES} are allowed",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Decodes exactly one value from all of `bytes`.
///
/// Memory stays in proportion to the input: a length prefix that claims more than
/// [`MAX_ENCODED_BYTES`] is refused before anything is allocated for it.
///
/// # Errors
/// [`CodecError::Decode`] or [`CodecError::Trailing`].
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let limited = config::standard().with_limit::<MAX_ENCODED_BYTES>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, limited)
        .map_err(|error| CodecError::Decode(error.to_string()))?;
    match bytes.len() - read {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_over_is_refused() {
        let mut bytes = encode(&7_u64).unwrap();
        assert_eq!(decode::<u64>(&bytes), Ok(7));
        bytes.push(0);
        assert_eq!(decode::<u64>(&bytes), Err(CodecError::Trailing(1)));
    }

    #[test]
    fn a_huge_length_prefix_is_refused_before_it_is_allocated() {
        let mut bytes = encode(&(1_u64 << 40)).unwrap();
        bytes.extend_from_slice(&[0; 16]);
        assert!(matches!(decode::<Vec<u64>>(&bytes), Err(CodecError::Decode(_))));
        assert!(matches!(decode::<String>(&bytes), Err(CodecError::Decode(_))));
    }
}
