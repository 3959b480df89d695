//! The result, as people and programs read it.

use serde::Serialize;

use super::{Default, Setting, Source};

/// What stands for a secret that is set.
const HIDDEN: &str = "(hidden)";

/// One setting with its value and where that came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The variable.
    pub name: &'static str,
    /// The value, or what its absence means; secrets hidden.
    pub value: String,
    /// Whether it has a value at all.
    pub set: bool,
    /// Where it came from.
    pub source: String,
    /// What it means.
    pub meaning: &'static str,
}

impl Shown {
    pub(super) fn new(
        setting: &Setting,
        given: Option<&(String, Source)>,
        default: Option<&str>,
    ) -> Self {
        let (value, source) = match (given, setting.default) {
            (Some(_), _) if setting.secret => (HIDDEN.into(), given.map(|(_, source)| source)),
            (Some((text, source)), _) => (text.trim().to_owned(), Some(source)),
            (None, Default::Absent(meaning)) => (meaning.to_owned(), None),
            (None, _) => (default.unwrap_or_default().to_owned(), None),
        };
        Self {
            name: setting.name(),
            value,
            set: given.is_some() || default.is_some(),
            source: source.unwrap_or(&Source::Default).to_string(),
            meaning: setting.doc,
        }
    }
}
