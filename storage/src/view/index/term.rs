//! A tag, an author or a word: what things are found by.

use bookmesh_rpc::api::{Filter, Thing, collapse_white_space, words};

use super::SHARDS;

/// The first 16 bytes of the BLAKE3 of what it is and its text: as good as the text, which nobody
/// can choose so that two are one, and smaller than most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term([u8; 16]);

impl Term {
    /// Keyed with what it is: a tag is no word, though it is spelled alike.
    fn new(what: u8, text: &str) -> Self {
        let mut term = [0; 16];
        let hash = blake3::keyed_hash(&[what; blake3::KEY_LEN], text.as_bytes());
        term.copy_from_slice(&hash.as_bytes()[..16]);
        Self(term)
    }

    /// A tag, exactly.
    fn tag(text: &str) -> Self {
        Self::new(b't', text)
    }

    /// A whole author, whatever the case and the spacing.
    fn author(text: &str) -> Self {
        Self::new(b'a', &collapse_white_space(text).to_lowercase())
    }

    /// A word, in lower case.
    fn word(text: &str) -> Self {
        Self::new(b'w', text)
    }

    /// Those of a thing, in order, each once.
    pub(super) fn all_of(thing: &Thing) -> Vec<Self> {
        let info = &thing.info;
        let tags = thing.tags.iter().map(|tag| Self::tag(tag));
        let words = words(&info.name).chain(words(&info.author));
        let mut terms: Vec<_> = tags.chain(words.map(|word| Self::word(&word))).collect();
        terms.push(Self::author(&info.author));
        terms.sort_unstable();
        terms.dedup();
        terms
    }

    /// Those that a filter wants all of; `None` among them is one that nothing has.
    pub(super) fn all_wanted(filter: &Filter) -> Vec<Option<Self>> {
        let mut wanted: Vec<_> = filter.tags.iter().map(|tag| Some(Self::tag(tag))).collect();
        wanted.extend(filter.author.iter().map(|author| Some(Self::author(author))));
        for text in &filter.words {
            let mut words = words(text).map(|word| Some(Self::word(&word))).peekable();
            // What has neither letters nor digits is in no text.
            if words.peek().is_none() {
                wanted.push(None);
            }
            wanted.extend(words);
        }
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    pub(super) const fn shard(&self) -> usize {
        self.0[0] as usize % SHARDS
    }
}
