//! The names of things, racks, members and requests.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ApiError;

/// Bits of a thing id that count things within a rack; the rack's number stands above them.
const SEQUENCE_BITS: u32 = 40;
/// Ids stay below 2^53, the last integer that every JSON client holds exactly.
const ID_BITS: u32 = 53;
/// Racks of one type that ids have room for.
pub const MAX_RACKS_OF_A_TYPE: u32 = 1 << (ID_BITS - SEQUENCE_BITS);

/// What a rack holds, and so what its things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Books.
    Book,
    /// Orders.
    Order,
}

impl Kind {
    /// The name in URLs, configuration and JSON: `book`, `order`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Order => "order",
        }
    }

    /// What codes of this kind start with: `BOOK`, `ORDER`.
    const fn code_prefix(self) -> &'static str {
        match self {
            Self::Book => "BOOK",
            Self::Order => "ORDER",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        [Self::Book, Self::Order]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| ApiError::invalid("type", "must be book or order"))
    }
}

/// The DHT key under which orchestrators are found. No rack's: those have a `/`.
pub const DHT_ORKS: &str = "ork";

/// How metrics name the orchestrators' own group beside racks.
const RESERVED: &str = "registry";

/// A rack's name: 1 to 63 of `a-z`, `0-9` and `-`, the first of them no `-`; not `registry`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RackId(Arc<str>);

impl RackId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DHT key under which the nodes that hold the rack are found: `rack/` and its name.
    pub fn dht_key(&self) -> String {
        format!("rack/{self}")
    }
}

impl FromStr for RackId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let ok = (1..=63).contains(&text.len())
            && !text.starts_with('-')
            && text != RESERVED
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if ok {
            return Ok(Self(text.into()));
        }
        let rule = "must be 1 to 63 of a-z, 0-9 and -, not starting with -, and not `registry`";
        Err(ApiError::invalid("rack_id", rule))
    }
}

impl TryFrom<String> for RackId {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self, ApiError> {
        text.parse()
    }
}

impl From<RackId> for String {
    fn from(id: RackId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A thing's id: `rack number × 2^40 + sequence`, below 2^53. The sequence counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThingId(u64);

impl ThingId {
    /// The id of the `sequence`-th thing of the rack with this number.
    ///
    /// # Errors
    /// [`ApiError::Internal`] when the rack's number or its sequence has run out of bits.
    pub fn new(rack_number: u32, sequence: u64) -> Result<Self, ApiError> {
        let room = rack_number < MAX_RACKS_OF_A_TYPE && sequence < 1 << SEQUENCE_BITS;
        if !room || sequence == 0 {
            let what = format!("no id left for rack number {rack_number}, sequence {sequence}");
            return Err(ApiError::Internal { what });
        }
        Ok(Self((u64::from(rack_number) << SEQUENCE_BITS) | sequence))
    }

    /// The id with this value, as a client wrote it.
    ///
    /// # Errors
    /// [`ApiError::IdInvalid`] when it is 0, has no sequence, or is 2^53 or more.
    pub fn from_u64(value: u64) -> Result<Self, ApiError> {
        let id = Self(value);
        if value >= 1 << ID_BITS || id.sequence() == 0 {
            return Err(ApiError::IdInvalid { id: value.to_string() });
        }
        Ok(id)
    }

    /// The integer.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number, within its type, of the rack that made the thing.
    pub const fn rack_number(self) -> u32 {
        (self.0 >> SEQUENCE_BITS) as u32
    }

    /// The place within that rack, from 1.
    pub const fn sequence(self) -> u64 {
        self.0 & ((1 << SEQUENCE_BITS) - 1)
    }

    /// `BOOK-0001`: unique within the rack.
    pub fn code(self, kind: Kind) -> String {
        format!("{}-{:04}", kind.code_prefix(), self.sequence())
    }
}

impl FromStr for ThingId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let canonical = digits && (text.len() == 1 || !text.starts_with('0'));
        let invalid = || ApiError::IdInvalid { id: text.chars().take(64).collect() };
        if !canonical {
            return Err(invalid());
        }
        text.parse().map_err(|_| invalid()).and_then(Self::from_u64)
    }
}

impl fmt::Display for ThingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one request in the logs of every node that takes part: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id of 16 random hex digits.
    pub fn generate() -> Self {
        Self(hex::encode(rand::random::<[u8; 8]>()).into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        let ok = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if ok {
            return Ok(Self(text.into()));
        }
        Err(ApiError::invalid("request_id", "must be 1 to 128 visible ASCII characters"))
    }
}

impl TryFrom<String> for RequestId {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self, ApiError> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One consensus group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GroupId {
    /// The orchestrators'.
    Registry,
    /// A rack's.
    Rack(RackId),
}

impl GroupId {
    /// The rack, unless it is the registry.
    pub const fn rack(&self) -> Option<&RackId> {
        match self {
            Self::Registry => None,
            Self::Rack(rack) => Some(rack),
        }
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("the registry"),
            Self::Rack(rack) => rack.fmt(f),
        }
    }
}

/// The number of a member of a group. The group's own log hands them out, each once.
pub type MemberId = u64;

/// Made with a member's data and gone with it: the same node with a wiped disk is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Incarnation(u128);

impl Incarnation {
    /// A new one, random.
    pub fn generate() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Default for Incarnation {
    /// None: what stands where no data was made yet.
    fn default() -> Self {
        Self(0)
    }
}

/// BLAKE3, 32 bytes, written as 64 hex digits: the state of a log's chain after an entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The chain of an empty log.
    pub const ZERO: Self = Self([0; 32]);

    /// The chain after an entry with these encoded commands: `BLAKE3(previous ‖ commands)`.
    pub fn extend(&self, commands: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(commands);
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_first_rack_are_one_two_three() {
        assert_eq!(ThingId::new(0, 1).unwrap().get(), 1);
        let id = ThingId::new(2, 7).unwrap();
        assert_eq!((id.rack_number(), id.sequence()), (2, 7));
        assert_eq!(id.get(), 2 * (1 << 40) + 7);
        assert_eq!(id.code(Kind::Book), "BOOK-0007");
        assert_eq!(ThingId::new(0, 12_345).unwrap().code(Kind::Order), "ORDER-12345");
    }

    #[test]
    fn ids_that_json_clients_could_not_hold_are_refused() {
        for text in ["", "0", "-1", "01", "1.0", "1e3", " 1", "9007199254740992", "1099511627776"] {
            assert!(text.parse::<ThingId>().is_err(), "{text}");
        }
        assert!("99999999999999999999".parse::<ThingId>().is_err());
        assert!("9007199254740991".parse::<ThingId>().is_ok());
        assert!(ThingId::new(MAX_RACKS_OF_A_TYPE, 1).is_err());
        assert!(ThingId::new(0, 0).is_err());
    }

    #[test]
    fn rack_ids_are_plain_names() {
        assert!("book-rack-001".parse::<RackId>().is_ok());
        for text in ["", "-a", "A", "a b", "a/b", "ä", "registry", &"a".repeat(64)] {
            assert!(text.parse::<RackId>().is_err(), "{text}");
        }
    }

    /// Nodes of different versions find each other only while these stay as they are.
    #[test]
    fn dht_keys_stay_as_they_are() {
        assert_eq!("r0".parse::<RackId>().unwrap().dht_key(), "rack/r0");
        assert_eq!(DHT_ORKS, "ork");
    }

    #[test]
    fn request_ids_are_visible_ascii() {
        assert!("a".repeat(128).parse::<RequestId>().is_ok());
        for text in ["", " ", "a b", "ä", "a\n", &"a".repeat(129)] {
            assert!(text.parse::<RequestId>().is_err(), "{text}");
        }
    }
}
