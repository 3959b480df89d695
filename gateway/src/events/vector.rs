//! An event's id: how far its reader is in every rack, so that it can go on in all of them at
//! once: `b0:412.3,o0:17`. A letter for the kind, the rack's number, the log entry, and the place
//! in it where it is not the end; or `now` while it is not known how far the rack is, because it
//! does not answer.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use bookmesh_rpc::api::{Kind, Position, Since};

/// A rack, by kind and number.
pub(super) type Place = (Kind, u32);

/// The longest id that is taken: about a thousand racks.
const MAX_BYTES: usize = 32 * 1024;

/// Positions by rack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Vector(BTreeMap<Place, Option<Position>>);

impl Vector {
    /// Reads an id.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("it has more than {MAX_BYTES} bytes"));
        }
        let mut places = BTreeMap::new();
        for part in text.split(',') {
            let (place, position) = parse(part).ok_or("it was not made here")?;
            if places.insert(place, position).is_some() {
                return Err("it names a rack twice".to_owned());
            }
        }
        Ok(Self(places))
    }

    /// Where a reader goes on in a rack: in one that it does not name, with the beginning.
    pub(super) fn since(&self, place: Place) -> Since {
        match self.0.get(&place) {
            None => Since::Beginning,
            Some(None) => Since::Now,
            Some(Some(position)) => Since::After(*position),
        }
    }

    /// Drops the racks of which this does not hold.
    pub(super) fn retain(&mut self, is_there: impl Fn(Place) -> bool) {
        self.0.retain(|place, _| is_there(*place));
    }

    /// All places that are known.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, Position)> + '_ {
        self.0.iter().filter_map(|(place, position)| Some((*place, (*position)?)))
    }

    /// Its reader begins in this rack; where is not known yet.
    pub(super) fn begin(&mut self, place: Place) {
        self.0.entry(place).or_insert(None);
    }

    /// Its reader has come to here.
    pub(super) fn set(&mut self, place: Place, position: Position) {
        self.0.insert(place, Some(position));
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ((kind, number), position)) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            write!(f, "{}{number}:", letter(*kind))?;
            match position {
                Some(end) if *end == Position::end_of(end.index) => write!(f, "{}", end.index)?,
                Some(Position { index, part }) => write!(f, "{index}.{part}")?,
                None => f.write_str("now")?,
            }
        }
        Ok(())
    }
}

const fn letter(kind: Kind) -> char {
    match kind {
        Kind::Book => 'b',
        Kind::Order => 'o',
    }
}

fn parse(part: &str) -> Option<(Place, Option<Position>)> {
    let (place, position) = part.split_once(':')?;
    let kind =
        [Kind::Book, Kind::Order].into_iter().find(|kind| place.starts_with(letter(*kind)))?;
    let number = digits(place.get(1..)?)?.try_into().ok()?;
    if position == "now" {
        return Some(((kind, number), None));
    }
    let position = match position.split_once('.') {
        Some((index, part)) => {
            Position { index: digits(index)?, part: digits(part)?.try_into().ok()? }
        }
        None => Position::end_of(digits(position)?),
    };
    Some(((kind, number), Some(position)))
}

/// Plain digits alone: no sign, nothing empty.
fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back() {
        let mut vector = Vector::default();
        vector.set((Kind::Order, 0), Position::end_of(17));
        vector.set((Kind::Book, 3), Position { index: u64::MAX, part: u32::MAX });
        vector.set((Kind::Book, 0), Position { index: 412, part: 3 });
        vector.begin((Kind::Order, 1));
        vector.begin((Kind::Order, 0));
        let text = vector.to_string();
        assert!(text.starts_with("b0:412.3,b3:") && text.ends_with(",o0:17,o1:now"));
        assert_eq!(Vector::parse(&text), Ok(vector));
    }

    #[test]
    fn what_was_not_made_here_is_refused() {
        let wrong =
            ["", ",", "b0", "b0:", "b:1.1", "x0:1.1", "b0:1.", "b0:+1.1", "b0:1.1,", "é0:1.1"];
        for text in wrong.into_iter().chain(["b0:1.1,b0:2.1", "b99999999999:1.1"]) {
            assert!(Vector::parse(text).is_err(), "{text}");
        }
        let long = vec!["b0:1.1"; 10_000].join(",");
        assert!(Vector::parse(&long).unwrap_err().contains("bytes"));
    }
}
