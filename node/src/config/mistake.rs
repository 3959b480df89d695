//! What is wrong with the configuration, all of it at once.

use std::fmt;

use super::{Setting, Source};

/// Characters of a wrong value that are repeated to the user.
const MAX_SHOWN_CHARS: usize = 80;

/// One value that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting's variable, or the key that nobody knows.
    pub name: String,
    /// What was given, cut short; `None` when it is secret or missing.
    pub value: Option<String>,
    /// What would be right.
    pub allowed: String,
    /// Who said it.
    pub source: Source,
}

impl Mistake {
    pub(super) fn of(setting: &Setting, value: &str, source: Source) -> Self {
        let shown = (!setting.secret).then(|| value.chars().take(MAX_SHOWN_CHARS).collect());
        Self { name: setting.name().into(), value: shown, allowed: setting.allowed.into(), source }
    }

    pub(super) fn missing(setting: &Setting, how: &str) -> Self {
        let allowed = format!("is missing; {how}");
        Self { name: setting.name().into(), value: None, allowed, source: Source::Default }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(value) = &self.value {
            write!(f, " = {value:?}")?;
        }
        if self.source == Source::Default && self.value.is_none() {
            return write!(f, " {}", self.allowed);
        }
        write!(f, " (from {}): must be {}", self.source, self.allowed)
    }
}

/// Everything that is wrong; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0.len() == 1 { "mistake" } else { "mistakes" };
        write!(f, "{} {noun} in the configuration:", self.0.len())?;
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}
