//! What a thing may look like. The gateway applies these to what clients send, the rack's leader
//! to what peers send; one place, so that both say the same.

use std::ops::RangeInclusive;

use super::{ApiError, FieldError, NewThing, Settings, ThingPatch};

/// Things in one batch call.
pub const MAX_BATCH: usize = 1_000;
/// Characters of a name.
pub const MAX_NAME_CHARS: usize = 512;
/// Characters of an author.
pub const MAX_AUTHOR_CHARS: usize = 2_048;
/// Characters of a holder (`userId`).
pub const MAX_HOLDER_CHARS: usize = 256;
/// Tags of a thing.
pub const MAX_TAGS: usize = 32;
/// Characters of a tag.
pub const MAX_TAG_CHARS: usize = 64;
/// Keys of `info`, the named ones included.
pub const MAX_INFO_KEYS: usize = 64;
/// Bytes of `info`'s further keys and values together.
pub const MAX_INFO_BYTES: usize = 16 * 1024;
/// Bytes of one encoded thing.
pub const MAX_THING_BYTES: usize = 32 * 1024;
/// Keys of `info` that have a meaning of their own: name, author, status, userId, createdAt,
/// updatedAt.
pub const NAMED_INFO_KEYS: [&str; 6] =
    ["name", "author", "status", "userId", "createdAt", "updatedAt"];

/// Voters that a rack may aim for: an even number can lose no more of them than the odd one below.
pub const RACK_REPLICAS: [u8; 4] = [1, 3, 5, 7];
/// Milliseconds that a voter may be silent before another takes its place: from what a busy machine
/// may be silent for, to a day.
pub const REPLACE_AFTER_MS: RangeInclusive<u64> = 1_000..=86_400_000;

/// Trims a text and collapses inner white space to single spaces.
pub fn collapse_white_space(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// The words of a text, by which it is found: what lies between characters that are neither
/// letters nor digits, in lower case. The words of a word are that word.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    // Lower case first: a letter's may have more than letters in it.
    let lower = text.to_lowercase();
    let parts = lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect::<Vec<_>>().into_iter()
}

/// What makes two books the same to an import: name and author, whatever the case and the spacing.
pub fn import_key(name: &str, author: &str) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(collapse_white_space(name).to_lowercase().as_bytes());
    hasher.update(&[0]);
    hasher.update(collapse_white_space(author).to_lowercase().as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

/// Gathers the faults of one request, so that all are reported at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError { field: field.into(), message: message.into() });
    }

    /// Whether none was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults.
    pub fn into_vec(self) -> Vec<FieldError> {
        self.0
    }

    /// Ok when none was noted.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] with all of them.
    pub fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::Invalid(self.0)) }
    }

    fn text(&mut self, field: &str, text: &str, max_chars: usize) {
        let chars = text.chars().count();
        if chars == 0 || chars > max_chars {
            self.add(field, format!("must have 1 to {max_chars} characters"));
        }
        if text.chars().any(char::is_control) {
            self.add(field, "must not contain control characters");
        }
        if text != collapse_white_space(text) {
            self.add(field, "must be trimmed, with single spaces");
        }
    }

    fn tags(&mut self, tags: &[String]) {
        if tags.len() > MAX_TAGS {
            self.add("tags", format!("must be at most {MAX_TAGS}"));
        }
        for (at, tag) in tags.iter().take(MAX_TAGS).enumerate() {
            self.text(&format!("tags[{at}]"), tag, MAX_TAG_CHARS);
        }
    }

    fn extra<'a>(&mut self, extra: impl Iterator<Item = (&'a String, usize)>) {
        let (mut keys, mut bytes) = (0, 0);
        for (key, value_bytes) in extra {
            keys += 1;
            bytes += key.len() + value_bytes;
            if key.is_empty() || NAMED_INFO_KEYS.contains(&key.as_str()) {
                self.add("info", "has an empty or reserved key");
            }
            if key.chars().any(char::is_control) {
                self.add("info", "keys must not contain control characters");
            }
        }
        if keys + NAMED_INFO_KEYS.len() > MAX_INFO_KEYS {
            self.add("info", format!("must have at most {MAX_INFO_KEYS} keys"));
        }
        if bytes > MAX_INFO_BYTES {
            self.add("info", format!("must have at most {MAX_INFO_BYTES} bytes"));
        }
    }
}

impl NewThing {
    /// The faults of a thing that was normalised already.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        faults.text("info.name", &self.name, MAX_NAME_CHARS);
        faults.text("info.author", &self.author, MAX_AUTHOR_CHARS);
        if let Some(holder) = &self.holder {
            faults.text("info.userId", holder, MAX_HOLDER_CHARS);
        }
        faults.tags(&self.tags);
        faults.extra(self.extra.iter().map(|(key, value)| (key, value.as_str().len())));
        faults
    }
}

impl ThingPatch {
    /// The faults of a change that was normalised already. Whether the thing stays within its
    /// limits after the merge is the rack's to say.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if let Some(name) = &self.name {
            faults.text("info.name", name, MAX_NAME_CHARS);
        }
        if let Some(author) = &self.author {
            faults.text("info.author", author, MAX_AUTHOR_CHARS);
        }
        if let Some(Some(holder)) = &self.holder {
            faults.text("info.userId", holder, MAX_HOLDER_CHARS);
        }
        if let Some(tags) = &self.tags {
            faults.tags(tags);
        }
        let sizes = self
            .extra
            .iter()
            .map(|(key, value)| (key, value.as_ref().map_or(0, |value| value.as_str().len())));
        faults.extra(sizes);
        faults
    }
}

impl Settings {
    /// What breaks a rule.
    pub fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.rack_replicas.is_some_and(|voters| !RACK_REPLICAS.contains(&voters)) {
            faults.add("rack_replicas", "must be 1, 3, 5 or 7");
        }
        if self.replace_after_ms.is_some_and(|ms| !REPLACE_AFTER_MS.contains(&ms)) {
            let (low, high) = REPLACE_AFTER_MS.into_inner();
            faults.add("replace_after_ms", format!("must be {low} to {high} milliseconds"));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let voters = |rack_replicas| Settings { rack_replicas, ..Settings::default() };
        let good = (0..=9).filter(|n| voters(Some(*n)).faults().is_empty());
        assert_eq!(good.collect::<Vec<_>>(), [1, 3, 5, 7]);
        let after = |replace_after_ms| Settings { replace_after_ms, ..Settings::default() };
        for (time, ok) in [(0, false), (999, false), (1_000, true), (u64::MAX, false)] {
            assert_eq!(after(Some(time)).faults().is_empty(), ok, "{time}");
        }
        assert!(Settings::default().faults().is_empty());
        let bad = Settings { rack_replicas: Some(2), replace_after_ms: Some(999) };
        assert_eq!(bad.faults().into_vec().len(), 2);
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let thing = NewThing {
            tags: vec!["x".repeat(65), String::new()],
            name: String::new(),
            author: "a  b".into(),
            status: super::super::Status::Available,
            holder: None,
            extra: [("name".to_owned(), super::super::JsonText::from_compact("1".into()))].into(),
        };
        let faults = thing.faults().into_vec();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["info.name", "info.author", "tags[0]", "tags[1]", "info"]);
    }

    #[test]
    fn words_are_found_whatever_stands_between_them() {
        let found: Vec<_> = words("J.R.R. Tolkien's  «Война» 1984!").collect();
        assert_eq!(found, ["j", "r", "r", "tolkien", "s", "война", "1984"]);
        let once: Vec<_> = words("İstanbul ΟΔΟΣ Straße").collect();
        let twice: Vec<_> = once.iter().flat_map(|word| words(word)).collect();
        assert_eq!(once, twice);
    }

    #[test]
    fn an_import_key_ignores_case_and_spacing_but_not_the_border() {
        assert_eq!(import_key(" The  Hobbit", "TOLKIEN"), import_key("the hobbit", "Tolkien"));
        assert_ne!(import_key("ab", "c"), import_key("a", "bc"));
    }
}
